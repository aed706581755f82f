import assert from 'node:assert/strict'
import { isTransactional, stepsOf } from '../core/index.ts'
import { declareCases, type Skips, type TestRunner } from './runner.ts'
import { effectCases } from './step/effect-cases.ts'
import { historyCases } from './step/history-cases.ts'
import { recoveryCases } from './step/recovery-cases.ts'
import { StepWorld } from './step/step-world.ts'
import type { StoreHarness } from './store-harness.ts'

export interface StepSuiteOptions<Tx> {
  /** `test` of vitest or of `node:test`. */
  readonly test: TestRunner
  /** A harness with an empty set of records, and `transactional`; called once for each case. */
  readonly open: () => Promise<StoreHarness<Tx>>
  /** Cases that cannot hold here, by their full name, with the reason. */
  readonly skip?: Skips
}

/**
 * Declares what operations of steps promise as tests of a store: recovery points, the check of the history, outside calls whose fate is
 * unknown, undos, and the completer.
 *
 * @throws TypeError when a skip names no case, or gives no reason.
 *
 * @example
 * stepSuite({ test, open: openHarness })
 */
export function stepSuite<Tx>(options: StepSuiteOptions<Tx>): void {
  const open = options.open as unknown as () => Promise<StoreHarness>
  declareCases(options.test, options.skip ?? {}, { ...recoveryCases, ...historyCases, ...effectCases }, async (body) => {
    const harness = await open()
    const { store, transactional } = harness
    try {
      assert.ok(isTransactional<never>(store) && transactional !== undefined, `store "${store.name}" binds nothing to a transaction`)
      assert.ok(stepsOf(store) !== undefined, `store "${store.name}" keeps no recovery points`)
      const world = new StepWorld({ harness, store, transactional })
      await body(world)
      await world.close()
    } catch (error) {
      await harness.close('failed')
      throw error
    }
    await harness.close('passed')
  })
}
