import assert from 'node:assert/strict'
import { isTransactional } from '../core/index.ts'
import { type Cases, declareCases, type Skips, type TestRunner } from './runner.ts'
import { ageingCases, ageingClockCases } from './store/ageing-cases.ts'
import { auditCases } from './store/audit-cases.ts'
import { beginCases, releaseCases } from './store/begin-cases.ts'
import { claimCases, claimClockCases } from './store/claim-cases.ts'
import { contentionCases, contentionSharedCases } from './store/contention-cases.ts'
import { fenceCases, fenceSharedCases } from './store/fence-cases.ts'
import { leaseCases, quarantineCases, takeoverCases } from './store/lease-cases.ts'
import { lifecycleCasesFor } from './store/lifecycle-cases.ts'
import { migrationCases, migrationSchemaCases, migrationSharedCases, notTransactionalCases } from './store/migration-cases.ts'
import { mismatchCases } from './store/mismatch-cases.ts'
import { modelCases } from './store/model-cases.ts'
import { forgetCases, statsCases, sweepCases } from './store/removal-cases.ts'
import { replayCases } from './store/replay-cases.ts'
import { resolveCases } from './store/resolve-cases.ts'
import {
  openTransactionCases,
  transactionCases,
  transactionFenceCases,
  transactionMistakeCases,
  waitingTransactionCases,
} from './store/transaction-cases.ts'
import { sealCases, uncertainCases } from './store/uncertain-cases.ts'
import { withinCases, withinForeignCases } from './store/within-cases.ts'
import type { StoreCases, StoreHarness, TransactionCases, TransactionSubject } from './store-harness.ts'

export interface StoreSuiteOptions<Tx> {
  /** `test` of vitest or of `node:test`. */
  readonly test: TestRunner
  /** A harness with an empty set of records; called once for each case, and once to learn what the store can do. */
  readonly open: () => Promise<StoreHarness<Tx>>
  /** Cases that cannot hold here, by their full name, with the reason. */
  readonly skip?: Skips
}

/**
 * Declares the contract of a store as tests: every branch of `transition`, the trail, removal and contention; for a
 * transactional store also the user's transaction. Await it at the top of the test file: it opens one store first, because
 * its capabilities choose the cases.
 *
 * @throws TypeError when a skip names no case that applies to this store, or gives no reason.
 *
 * @example
 * await storeSuite({ test, open: async () => {
 *   const clock = new ManualClock()
 *   const store = memoryStore({ clock })
 *   return { store, reopen: async () => store, nowMs: () => clock.nowMs(), advance: (ms) => clock.advance(ms), close: () => store.close() }
 * } })
 */
export async function storeSuite<Tx>(options: StoreSuiteOptions<Tx>): Promise<void> {
  const open = options.open as unknown as () => Promise<StoreHarness>
  const probe = await open()
  let cases: Cases<StoreHarness>
  try {
    cases = casesFor(probe)
  } finally {
    await probe.close('passed')
  }
  declareCases(options.test, options.skip ?? {}, cases, async (body) => {
    const harness = await open()
    await body(harness).catch(async (error: unknown) => {
      await harness.close('failed')
      throw error
    })
    await harness.close('passed')
  })
}

function casesFor(harness: StoreHarness): StoreCases {
  const { capabilities } = harness.store
  return {
    ...alwaysCases,
    ...lifecycleCasesFor(harness),
    ...(capabilities.clock === 'process' ? { ...claimClockCases, ...ageingClockCases } : {}),
    ...(capabilities.shared ? { ...fenceSharedCases, ...contentionSharedCases, ...migrationSharedCases } : {}),
    ...(harness.unmigrated === undefined ? {} : migrationSchemaCases),
    ...(isTransactional(harness.store) ? bound(transactionCasesFor(harness)) : notTransactionalCases),
  }
}

const alwaysCases: StoreCases = {
  ...claimCases,
  ...replayCases,
  ...mismatchCases,
  ...leaseCases,
  ...takeoverCases,
  ...fenceCases,
  ...beginCases,
  ...releaseCases,
  ...sealCases,
  ...uncertainCases,
  ...resolveCases,
  ...quarantineCases,
  ...ageingCases,
  ...forgetCases,
  ...auditCases,
  ...sweepCases,
  ...statsCases,
  ...contentionCases,
  ...migrationCases,
  ...modelCases,
}

function transactionCasesFor({ store, transactional }: StoreHarness): TransactionCases {
  assert.ok(transactional !== undefined, `store "${store.name}" is transactional: its harness needs "transactional"`)
  return {
    ...transactionCases,
    ...transactionMistakeCases,
    ...withinCases,
    ...(store.capabilities.seesOpenTransactions ? openTransactionCases : waitingTransactionCases),
    ...(transactional.supersede === undefined ? {} : transactionFenceCases),
    ...(transactional.foreign === undefined ? {} : withinForeignCases),
  }
}

/** Gives the cases about transactions what they need of the harness. */
function bound(cases: TransactionCases): StoreCases {
  return Object.fromEntries(Object.entries(cases).map(([name, run]) => [name, (harness: StoreHarness) => run(subjectOf(harness))]))
}

function subjectOf(harness: StoreHarness): TransactionSubject {
  const { store, transactional } = harness
  assert.ok(isTransactional<never>(store) && transactional !== undefined)
  return { harness, store, transactional }
}
