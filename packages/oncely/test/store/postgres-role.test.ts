import { randomBytes } from 'node:crypto'
import { Pool, type PoolClient } from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { printGrants } from '../../src/store/postgres/index.ts'
import { outboxSuite, type StoreHarness, storeSuite } from '../../src/testing/index.ts'
import { acquired, leaseRequest, newId, outcomeOf, policy } from '../support/transaction-claim.ts'
import { begin, openHarness, openOutbox, openPlace, type Place, serverUrl } from './postgres-fixture.ts'

const suffix = randomBytes(6).toString('hex')
const roles = { application: `app_${suffix}`, operator: `operator_${suffix}` } as const

async function asOwner(statement: string): Promise<void> {
  const pool = new Pool({ connectionString: serverUrl, max: 1 })
  await pool.query(statement)
  await pool.end()
}

await asOwner(`CREATE ROLE "${roles.application}" LOGIN; CREATE ROLE "${roles.operator}" LOGIN`)

afterAll(() => asOwner(`DROP ROLE "${roles.application}"; DROP ROLE "${roles.operator}"`))

/** A pool and a store of the role on the place, with the printed rights and no others. */
async function grantedTo(place: Place, use: keyof typeof roles) {
  await place.pool.query(printGrants({ role: roles[use], use, schema: place.schema }))
  await place.pool.query(`GRANT SELECT, INSERT ON "${place.schema}".effects TO "${roles[use]}"`)
  const url = new URL(serverUrl)
  url.username = roles[use]
  const granted = place.another({ pool: { connectionString: url.href } })
  await granted.store.open()
  return granted
}

/** The harness of the PostgreSQL suite as the application's role; legal holds are placed by the operator's. */
async function openAsRole(): Promise<StoreHarness<PoolClient>> {
  return openHarness(async (place) => {
    const granted = await grantedTo(place, 'application')
    const { store } = await grantedTo(place, 'operator')
    Object.assign(granted.store, { hold: store.hold?.bind(store) })
    return granted
  })
}

await storeSuite({ test, open: openAsRole })

outboxSuite({ test, open: () => openOutbox((place) => grantedTo(place, 'application')) })

async function withPlace(use: keyof typeof roles, body: (place: Place, granted: Awaited<ReturnType<typeof grantedTo>>) => Promise<void>) {
  const place = await openPlace()
  let ended: 'passed' | 'failed' = 'failed'
  try {
    await body(place, await grantedTo(place, use))
    ended = 'passed'
  } finally {
    await place.close(ended)
  }
}

describe('the application role', () => {
  test('has rights on every table that a migration makes', () =>
    withPlace('application', async (place) => {
      const forgotten = `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT has_table_privilege($2, c.oid, 'SELECT')`
      expect((await place.pool.query(forgotten, [place.schema, roles.application])).rows).toEqual([])
    }))

  test('claims, completes, commits with rows, sweeps, erases, and answers what is held', () =>
    withPlace('application', async (place, { store, pool }) => {
      const [first, second] = [newId(), newId()]
      for (const id of [first, second]) {
        const { ownership } = acquired(await store.claim(leaseRequest(id)))
        expect(await store.complete(ownership, outcomeOf('done'))).toBe('done')
      }
      await place.store.hold?.({ record: first }, { held: true, by: 'counsel', reason: 'case 7' })
      const { tx, commit } = await begin(pool)
      const scope = store.within(tx)
      const own = acquired(await scope.claim({ ...leaseRequest(newId()), bind: 'transaction' }))
      await tx.query(place.named("INSERT INTO {effects} (value) VALUES ('paid')"))
      expect(await scope.complete(own.ownership, outcomeOf('paid'))).toBe('done')
      await commit()
      await store.audit([{ id: first, operation: 'charge', minuteMs: 60_000, reason: 'replayed', count: 2 }])
      await store.audit([{ id: first, operation: 'charge', minuteMs: 60_000, reason: 'replayed', count: 2 }])
      await expect(store.forget(first, { reason: 'asked for' })).rejects.toMatchObject({ code: 'ONCELY_RECORD_HELD' })
      await place.advance(policy.tombstoneMs + 1_000)
      expect(await store.sweep({ batchMax: 10 })).toEqual({ removed: 2 })
      expect((await store.read(first))?.state).toBe('completed')
      expect((await store.stats()).records).toBe(1)
    }))

  const refused: readonly (readonly [what: string, statement: string])[] = [
    ['remove a line of the trail', 'DELETE FROM {events}'],
    ['rewrite a line of the trail', "UPDATE {events} SET reason = 'none'"],
    ['change an outcome in place', "UPDATE {outcomes} SET bytes = ''"],
    ['lift a legal hold', 'DELETE FROM {holds}'],
    ['lift a legal hold by its function', "SELECT {hold}('record', 'x', false, 'me', 'none')"],
    ['drop what a hold keeps', 'DELETE FROM {held_outcomes}'],
    ['lengthen a policy', 'UPDATE {policies} SET retention_ms = 0'],
    ['empty a table', 'TRUNCATE {keys}'],
    ['drop a table', 'DROP TABLE {keys}'],
    ['make a table', 'CREATE TABLE {mine} (a integer)'],
    ['mark a migration as done', "INSERT INTO {migrations} VALUES (99, 'x', 'x', true)"],
    ['replace a function', 'CREATE OR REPLACE FUNCTION {now_ms}() RETURNS bigint LANGUAGE sql AS $$ SELECT 0::bigint $$'],
    ['drop partitions', "SELECT {drop_before}('oncely_events', '2999-01-01', 10)"],
  ]
  test('may not do what a stolen password would be used for', () =>
    withPlace('application', async (place, { pool }) => {
      await place.store.hold?.({ record: Buffer.from('x') }, { held: true, by: 'counsel', reason: 'case 7' })
      await place.sql("SELECT {add_partition}('oncely_events', '2020-01-01')")
      const codes: unknown[] = []
      for (const [what, statement] of refused) {
        const code = await pool.query(place.named(statement)).then(
          () => 'done',
          (error: { code?: string }) => error.code,
        )
        codes.push([what, code])
      }
      expect(codes).toEqual(refused.map(([what]) => [what, '42501']))
    }))

  test('is given the same rights by a second run, and nobody else may call a function', () =>
    withPlace('application', async (place) => {
      const script = printGrants({ role: roles.application, schema: place.schema })
      await place.pool.query(script)
      const other = `other_${suffix}`
      await place.pool.query(`CREATE ROLE "${other}"; GRANT USAGE ON SCHEMA "${place.schema}" TO "${other}"`)
      const client = await place.pool.connect()
      await client.query(`SET ROLE "${other}"`)
      await expect(client.query(place.named('SELECT {now_ms}()'))).rejects.toMatchObject({ code: '42501' })
      await client.query('RESET ROLE')
      client.release()
      await place.pool.query(`DROP OWNED BY "${other}"; DROP ROLE "${other}"`)
    }))
})

test('a role that is more than a name, or of no known use, is refused', () => {
  for (const role of ['', 'a"b', "a'; DROP ROLE x; --", '1a', 'a'.repeat(64)]) {
    expect(() => printGrants({ role })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
  }
  expect(() => printGrants({ role: 'app', use: 'root' as 'operator' })).toThrow(/application or operator/)
})
