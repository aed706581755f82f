import assert from 'node:assert/strict'
import { isOncelyError, survivesOrder } from '../../core/index.ts'
import type { StoreCases } from '../store-harness.ts'
import { acquire, answered, assertSame, claimRequest, completedRecord, newId, outcomeOf } from './claim-request.ts'

/** What a store says of itself, and how its schema comes about. */
export const migrationCases: StoreCases = {
  'migration: migrating again changes nothing': async ({ store }) => {
    const id = newId()
    await completedRecord(store, claimRequest(id), outcomeOf('kept'))
    const before = [await store.read(id), await store.trail(id)]
    await store.migrate()
    await store.migrate()
    assertSame([await store.read(id), await store.trail(id)], before)
  },

  'migration: opening tells what the running server survives, and why': async ({ store }) => {
    const { survives, survivesBecause, instanceId } = await store.open()
    assert.ok(survivesOrder.includes(survives), survives)
    assert.notEqual(survivesBecause.trim(), '')
    assert.match(instanceId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    assert.equal((await store.open()).instanceId, instanceId)
  },

  'migration: the instance id read by itself is the one that opening tells': async ({ store }) => {
    const { instanceId } = await store.open()
    assert.equal((await store.instanceId?.()) ?? instanceId, instanceId)
  },

  'migration: the store has a name': async ({ store }) => {
    assert.match(store.name, /^[a-z][a-z0-9-]*$/)
  },

  'migration: a caller without a record reads nothing': async ({ store }) => {
    assert.equal(await store.read(newId()), undefined)
    assert.deepEqual(await store.sweep({ batchMax: 100 }), { removed: 0 })
    const { records, running, uncertain, quarantined, completed } = await store.stats()
    assert.deepEqual([records, running, uncertain, quarantined, completed], [0, 0, 0, 0, 0])
  },
}

/** Where several connections share the records. */
export const migrationSharedCases: StoreCases = {
  'migration: two processes may migrate at once': async ({ store, reopen }) => {
    const other = await reopen()
    await Promise.all([store.migrate(), other.migrate(), store.migrate(), other.migrate()])
    const id = newId()
    await acquire(store, claimRequest(id))
    answered(await other.claim(claimRequest(id)), 'in-progress')
  },

  'migration: every connection names the same database': async ({ store, reopen }) => {
    const other = await reopen()
    assert.equal((await other.open()).instanceId, (await store.open()).instanceId)
  },
}

/** Where the records need a schema. */
export const migrationSchemaCases: StoreCases = {
  'migration: a database without the schema is refused by name, and can be migrated then': async ({ unmigrated }) => {
    const store = await unmigrated?.()
    assert.ok(store !== undefined, 'the harness has no unmigrated()')
    try {
      await assert.rejects(store.open(), (error) => isOncelyError(error) && error.code === 'ONCELY_STORE_SCHEMA')
      await Promise.all([store.migrate(), store.migrate()])
      await store.open()
      await completedRecord(store, claimRequest(newId()))
    } finally {
      await store.close()
    }
  },
}

/** A store that cannot bind to the user's transaction does not pretend to. */
export const notTransactionalCases: StoreCases = {
  'transaction: a store without it has no method for it': async ({ store, transactional }) => {
    for (const method of ['transact', 'within', 'classify']) assert.equal(method in store, false, method)
    assert.equal(transactional, undefined)
  },
}
