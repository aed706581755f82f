import { budgetCases } from './http/budget-cases.ts'
import { conflictCases } from './http/conflict-cases.ts'
import { failureCases, leaseFailureCases, transactionFailureCases } from './http/failure-cases.ts'
import { fingerprintCases } from './http/fingerprint-cases.ts'
import { guardCases } from './http/guard-cases.ts'
import { guardFailureCases } from './http/guard-failure-cases.ts'
import { type HttpCases, HttpWorld } from './http/http-world.ts'
import { keyCases } from './http/key-cases.ts'
import { keySourceCases } from './http/key-source-cases.ts'
import { leaseOperatorCases, operatorCases } from './http/operator-cases.ts'
import { outcomeCases } from './http/outcome-cases.ts'
import { peerCases } from './http/peer-cases.ts'
import { leaseRecordCases, recordCases } from './http/record-cases.ts'
import { replayCases } from './http/replay-cases.ts'
import { scopeCases } from './http/scope-cases.ts'
import { settledCases } from './http/settled-cases.ts'
import type { HttpStoreHarness, HttpSuiteOptions } from './http-harness.ts'
import { declareCases } from './runner.ts'

/**
 * Declares the HTTP contract of an adapter as tests, each named by the line of the contract it holds the adapter to. Requests go
 * over a real socket, header lines as written.
 *
 * @throws TypeError when a skip names no case or gives no reason.
 *
 * @example
 * httpSuite({ test, bind: 'lease', open: openMemoryStore, serve: async ({ oncely, routes }) => listen(expressApp(oncely, routes)) })
 */
export function httpSuite<Tx>(options: HttpSuiteOptions<Tx>): void {
  declareCases(options.test, options.skip ?? {}, httpCases(options.bind), async (body) => {
    const harness = (await options.open()) as HttpStoreHarness<unknown>
    const world = new HttpWorld(options, harness)
    try {
      await body(world)
    } catch (error) {
      await world.close()
      await harness.close('failed')
      throw error
    }
    await world.close()
    await harness.close('passed')
  })
}

/** The cases that hold for a bind, by their names. */
export function httpCases(bind: 'lease' | 'transaction'): HttpCases {
  return {
    ...keyCases,
    ...replayCases,
    ...conflictCases,
    ...scopeCases,
    ...fingerprintCases,
    ...outcomeCases,
    ...failureCases,
    ...peerCases,
    ...recordCases,
    ...operatorCases,
    ...budgetCases,
    ...keySourceCases,
    ...(bind === 'lease'
      ? { ...leaseFailureCases, ...leaseOperatorCases, ...leaseRecordCases, ...guardCases, ...guardFailureCases, ...settledCases }
      : transactionFailureCases),
  }
}
