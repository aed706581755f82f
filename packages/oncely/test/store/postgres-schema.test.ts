import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { postgresStore, printMigrations } from '../../src/store/postgres/index.ts'
import { migrations } from '../../src/store/postgres/migrations/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'
import { acquired, commit, leaseRequest, newId, options, outcomeOf, policy, request } from '../support/transaction-claim.ts'
import { inPlace, openPlace, type Place, serverUrl } from './postgres-fixture.ts'

async function complete(place: Place, id: Uint8Array = newId()): Promise<Uint8Array> {
  const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
  await place.store.complete(ownership, outcomeOf('done'))
  return id
}

describe('migrations', () => {
  test('ten processes that start at once migrate once, and agree on the database', async () => {
    const place = await openPlace({ migrate: false })
    const program = join(import.meta.dirname, '../../.build/test/process/postgres-migrator.js')
    if (!existsSync(program)) throw new Error(`${program} is missing; run npm run build first.`)
    const children = Array.from({ length: 10 }, () => fork(program, [serverUrl, place.schema]))
    await Promise.all(children.map((child) => once(child, 'message')))
    const answers = Promise.all(children.map((child) => Promise.race([once(child, 'message'), once(child, 'exit')])))
    for (const child of children) child.send('go')
    const ids = (await answers).map(([answer]) => (answer as { instanceId?: string } | null)?.instanceId)
    expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/)
    expect(new Set(ids).size).toBe(1)
    expect(await place.sql('SELECT number FROM {migrations} ORDER BY number')).toEqual(migrations.map(({ number }) => ({ number })))
    await place.close('passed')
  })

  test('printed for whoever may change the schema, they are the ones that the store knows', async () => {
    const place = await openPlace({ migrate: false })
    await place.pool.query(`DROP SCHEMA "${place.schema}" CASCADE`)
    await place.pool.query(printMigrations({ schema: place.schema }))
    await place.store.open()
    const id = await complete(place)
    expect((await place.store.read(id))?.state).toBe('completed')
    await place.close('passed')
  })

  test(
    'two prefixes in one schema are two stores',
    inPlace(async (place) => {
      const { store } = place.another({ store: { prefix: 'second_', migrate: 'auto' } })
      const id = await complete(place)
      expect((await store.open()).instanceId).not.toBe((await place.store.open()).instanceId)
      expect((await store.claim(leaseRequest(id))).word).toBe('acquired')
    }),
  )

  test(
    'a schema changed by another build is refused, as is a newer one that breaks this version',
    inPlace(async (place) => {
      const next = migrations.length + 1
      await place.sql("INSERT INTO {migrations} (number, name, checksum, breaking) VALUES ($1, 'later', 'x', false)", [next])
      await place.store.open()
      await place.sql('UPDATE {migrations} SET breaking = true WHERE number = $1', [next])
      await expect(place.store.open()).rejects.toMatchObject({
        code: 'ONCELY_STORE_SCHEMA',
        message: expect.stringContaining('newer version'),
      })
      await expect(place.store.migrate()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
      await place.sql('DELETE FROM {migrations} WHERE number = $1', [next])
      await place.sql("UPDATE {migrations} SET checksum = 'x' WHERE number = 3")
      await expect(place.store.open()).rejects.toMatchObject({
        code: 'ONCELY_STORE_SCHEMA',
        message: expect.stringContaining('Migration 3'),
      })
    }),
  )

  test(
    'some missing: the error names them and what to run',
    inPlace(async (place) => {
      await place.sql('DELETE FROM {migrations} WHERE number >= 4')
      await expect(place.store.open()).rejects.toMatchObject({
        code: 'ONCELY_STORE_SCHEMA',
        message: expect.stringMatching(/3 of \d+ .*missing: upkeep.*store\.migrate\(\).*printMigrations/),
      })
    }),
  )

  test(
    'tables dropped under a running store are named by every call',
    inPlace(async (place) => {
      await place.store.claim(leaseRequest(newId()))
      await place.pool.query(`ALTER SCHEMA "${place.schema}" RENAME TO "${place.schema}_moved"`)
      for (const call of [
        () => place.store.claim(leaseRequest(newId())),
        () => place.store.read(newId()),
        () => place.store.transact(request(newId()), options, async () => commit()),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
      }
      await place.pool.query(`ALTER SCHEMA "${place.schema}_moved" RENAME TO "${place.schema}"`)
    }),
  )

  test('a schema or prefix that is more than a name is refused', () => {
    const layer = fromPg({} as never)
    for (const schema of ['', 'a"b', "a'; DROP TABLE x; --", '1a', 'a'.repeat(64)]) {
      expect(() => postgresStore(layer, { schema })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    }
    for (const prefix of ['', 'Oncely_', 'a-b', 'a"b', 'a'.repeat(31)]) {
      expect(() => postgresStore(layer, { prefix })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    }
    for (const trailDays of [0, 1.5, 40_000]) {
      expect(() => postgresStore(layer, { trailDays })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    }
  })
})

describe('the role that runs', () => {
  test('needs no right to change the schema', async () => {
    const place = await openPlace()
    const role = `r_${place.schema}`
    await place.pool.query(`CREATE ROLE "${role}" LOGIN; GRANT USAGE ON SCHEMA "${place.schema}" TO "${role}";
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${place.schema}" TO "${role}"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA "${place.schema}" TO "${role}"`)
    const url = new URL(serverUrl)
    url.username = role
    const { pool, store } = place.another({ pool: { connectionString: url.href } })
    await store.open()
    const { ownership } = acquired(await store.claim(leaseRequest(newId())))
    expect(await store.complete(ownership, outcomeOf('done'))).toBe('done')
    expect((await store.transact(request(newId()), options, async () => commit())).word).toBe('committed')
    await place.advance(policy.tombstoneMs + 1_000)
    expect(await store.sweep({ batchMax: 10 })).toEqual({ removed: 2 })
    await expect(place.another({ pool: { connectionString: url.href }, store: { prefix: 'none_' } }).store.migrate()).rejects.toMatchObject(
      {
        code: 'ONCELY_STORE_SCHEMA',
        message: expect.stringContaining('printMigrations()'),
      },
    )
    await pool.end()
    pool.end = async () => {}
    await place.close('passed')
    const cleaner = await openPlace({ migrate: false })
    await cleaner.pool.query(`DROP ROLE "${role}"`)
    await cleaner.close('passed')
  })
})

describe('partitions', () => {
  const partitions = (place: Place, table: string): Promise<{ name: string }[]> =>
    place.sql(
      `SELECT c.relname AS name FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE h.inhparent = '{${table}}'::regclass AND c.relname ~ '[0-9]{8}$' ORDER BY 1`,
    )

  test(
    'are there for a new policy before its first outcome, which is in none but its day',
    inPlace(async (place) => {
      const id = await complete(place)
      expect((await partitions(place, 'outcomes')).length).toBe(3)
      const [row] = await place.sql<{ home: string; day: string }>(
        "SELECT tableoid::regclass::text AS home, to_char(day, 'YYYYMMDD') AS day FROM {outcomes} WHERE id = $1",
        [id],
      )
      expect(row?.home).toContain(`oncely_outcomes_${row?.day}`)
    }),
  )

  test(
    'that nobody made are no loss: the default partition keeps outcomes and trail, and is swept',
    inPlace(async (place) => {
      const id = await complete(place)
      for (const table of ['outcomes', 'events']) {
        for (const { name } of await partitions(place, table)) await place.pool.query(`DROP TABLE "${place.schema}"."${name}"`)
      }
      const late = await complete(place)
      expect(await place.store.claim(leaseRequest(late))).toMatchObject({ word: 'replay', outcome: outcomeOf('done') })
      expect((await place.store.trail(late)).length).toBe(2)
      // Today's outcomes are in the default partition already, so their day gets no partition of its own; the next days do.
      await place.store.sweep({ batchMax: 10 })
      expect((await partitions(place, 'outcomes')).length).toBe(2)
      expect(await place.store.claim(leaseRequest(late))).toMatchObject({ word: 'replay', outcome: outcomeOf('done') })
      await place.sql("UPDATE {outcomes_default} SET day = '2020-01-01'; UPDATE {events_default} SET day = '2020-01-01'")
      await place.store.sweep({ batchMax: 10 })
      expect(
        await place.sql(
          'SELECT (SELECT count(*)::int FROM {outcomes_default}) AS outcomes, (SELECT count(*)::int FROM {events_default}) AS events',
        ),
      ).toEqual([{ outcomes: 0, events: 0 }])
      expect((await place.store.claim(leaseRequest(id))).word).toBe('replay')
    }),
  )

  test(
    'of past days are dropped whole, and a lock that does not come is waited for another time',
    inPlace(async (place) => {
      await complete(place)
      for (const [table, day] of [
        ['outcomes', '2020-01-01'],
        ['events', '2019-01-01'],
      ]) {
        expect(await place.sql('SELECT {add_partition}($1, $2) AS made', [`oncely_${table}`, day])).toEqual([{ made: true }])
      }
      const reader = await place.pool.connect()
      await reader.query(place.named('BEGIN; SELECT * FROM {outcomes} LIMIT 1'))
      await place.store.sweep({ batchMax: 10 })
      expect((await partitions(place, 'outcomes')).map(({ name }) => name)).toContain('oncely_outcomes_20200101')
      expect((await partitions(place, 'events')).map(({ name }) => name)).not.toContain('oncely_events_20190101')
      await reader.query('COMMIT')
      reader.release()
      await place.store.sweep({ batchMax: 10 })
      expect((await partitions(place, 'outcomes')).map(({ name }) => name)).not.toContain('oncely_outcomes_20200101')
      expect((await partitions(place, 'outcomes')).length).toBe(3)
    }),
  )
})

describe('the table of keys', () => {
  test(
    'is updated in place: completions and renewals leave the indexes alone',
    inPlace(async (place) => {
      await place.sql('ALTER TABLE {keys} SET (autovacuum_enabled = false)')
      // One after the other: what a page has room for does not depend on what other transactions can still see.
      const { pool, store } = place.another({ pool: { max: 1 } })
      for (let key = 0; key < 200; key++) {
        const { ownership } = acquired(await store.claim(leaseRequest(newId())))
        await store.renew(ownership, { leaseMs: 30_000 })
        await store.complete(ownership, outcomeOf('done'))
      }
      // A backend reports its counts when it ends.
      await pool.end()
      pool.end = async () => {}
      const updates = async (): Promise<{ all: number; hot: number }> => {
        const [row] = await place.sql<{ all: number; hot: number }>(
          "SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE relid = '{keys}'::regclass",
        )
        return row ?? { all: 0, hot: 0 }
      }
      await expect.poll(async () => (await updates()).all, { timeout: 15_000 }).toBe(400)
      expect((await updates()).hot).toBe(400)
    }),
  )
})
