import { SimDatabase, SimNetwork, SimProcess, SimStore, type SimTransaction, SimTransactionalStore, SimWorld } from 'oncely/sim'
import { type StoreHarness, storeSuite } from 'oncely/testing'
import { describe, test } from 'vitest'

const idleTimeoutMs = 30_000

/** A world without faults and without delays, whose time only moves when a case moves it. */
function openHarness(transactional: boolean): StoreHarness<SimTransaction> {
  const world = new SimWorld('store suite')
  const database = new SimDatabase(world)
  const parts = () => {
    const network = new SimNetwork(world, database)
    network.latencyMsMax = 0
    return { process: new SimProcess(world, 'process'), network, database }
  }
  let passedMs = 0
  let closed = false
  const pump = (): void => {
    while (world.time.step(world.time.nowMs));
    if (!closed) setImmediate(pump)
  }
  pump()
  const store = new SimTransactionalStore(parts())
  const connect = () => (transactional ? new SimTransactionalStore(parts()) : new SimStore(parts()))
  const base: StoreHarness<SimTransaction> = {
    store: transactional ? store : connect(),
    reopen: async () => connect(),
    // The suite keeps count itself of the time that it let pass on a server's clock.
    nowMs: () => database.nowMs() - passedMs,
    advance: (ms) => {
      passedMs += ms
      return world.run(world.time.nowMs + ms)
    },
    close: async () => {
      closed = true
    },
  }
  if (!transactional) return base
  return {
    ...base,
    transactional: {
      effects: {
        add: (tx, value) => tx.insert({ key: '', value }),
        list: async () => database.rows.map(({ value }) => value),
      },
      begin: async () => {
        const tx = await store.begin(idleTimeoutMs)
        return { tx, commit: () => tx.commit(), rollback: () => tx.rollBack() }
      },
      end: (tx) => tx.commit(),
      breakStatement: (tx) => tx.fail(),
      supersede: (tx, id) => tx.supersede(id),
      foreign: async () => ({
        tx: await new SimTransactionalStore({ ...parts(), database: new SimDatabase(world) }).begin(),
        close: async () => {},
      }),
    },
  }
}

describe('the simulated database without faults', () => {
  describe('as the database of the user', async () => {
    await storeSuite<SimTransaction>({ test, open: async () => openHarness(true) })
  })

  describe('without transactions', async () => {
    await storeSuite<SimTransaction>({ test, open: async () => openHarness(false) })
  })
})
