import { randomBytes } from 'node:crypto'
import { postgresLock } from 'oncely/lock/postgres'
import { type LockHarness, lockSuite } from 'oncely/testing'
import { fromPg } from 'oncely/transaction/pg'
import { fromPostgresJs } from 'oncely/transaction/postgres-js'
import { Pool } from 'pg'
import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import type { Lock, LockProvider } from '../../src/core/index.ts'
import { serverUrl, urlOf } from '../store/postgres-fixture.ts'

/** Locks whose names meet no other test's, on pools that are closed together. */
function openLocks(): LockHarness & {
  pool(max?: number, url?: string): Pool
  locks(pool: Pool): LockProvider
  sessions(): Promise<string[]>
} {
  const run = `lock_${randomBytes(6).toString('hex')}`
  const pools: Pool[] = []
  const pool = (max = 10, connectionString = serverUrl): Pool => {
    const made = new Pool({ connectionString, max, application_name: run })
    made.on('error', () => {})
    pools.push(made)
    return made
  }
  const locks = (of: Pool): LockProvider => {
    const provider = postgresLock(fromPg(of), { probeMs: 100 })
    return {
      capabilities: provider.capabilities,
      acquire: (name, request) => provider.acquire(name === '' || name.length > 200 ? name : `${run}:${name}`, request),
    }
  }
  const watcher = new Pool({ connectionString: serverUrl, max: 1 })
  pools.push(watcher)
  const held = `FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = $1`
  return {
    pool,
    locks,
    provider: locks(pool()),
    another: () => locks(pool()),
    sessions: async () => (await watcher.query<{ state: string }>(`SELECT a.state ${held}`, [run])).rows.map(({ state }) => state),
    loseSession: async () => void (await watcher.query(`SELECT pg_terminate_backend(a.pid, 5000) ${held}`, [run])),
    close: async () => void (await Promise.all(pools.map((each) => each.end()))),
  }
}

function withLocks(body: (locks: ReturnType<typeof openLocks>) => Promise<void>): () => Promise<void> {
  return async () => {
    const locks = openLocks()
    await body(locks).finally(() => locks.close())
  }
}

async function take(provider: LockProvider, name = 'report'): Promise<Lock> {
  const lock = await provider.acquire(name, { waitMs: 0, leaseMs: 20_000 })
  if (lock === 'busy') throw new TypeError(`${name} is busy`)
  return lock
}

await lockSuite({ test, open: async () => openLocks() })

describe('what PostgreSQL cannot promise', () => {
  test(
    'each held lock occupies a connection: a pool without a free one answers nothing in time',
    withLocks(async ({ pool }) => {
      const provider = postgresLock(fromPg(pool(1)), { answerMs: 300 })
      const lock = await take(provider, `a ${randomBytes(6).toString('hex')}`)
      await expect(take(provider, 'b')).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE', applied: 'no' })
      expect(await lock.release()).toBe('released')
    }),
  )

  test(
    'a lock that was given up for a late connection is not held once the connection comes',
    withLocks(async ({ pool, sessions }) => {
      const few = pool(1)
      const provider = postgresLock(fromPg(few), { answerMs: 300 })
      const client = await few.connect()
      const name = `late ${randomBytes(6).toString('hex')}`
      await expect(take(provider, name)).rejects.toMatchObject({ code: 'ONCELY_STORE_UNAVAILABLE' })
      client.release()
      // The only connection serves the late try first.
      await few.query('SELECT 1')
      expect(await sessions()).toEqual([])
    }),
  )

  test(
    'waiters hold no connection between tries, so a small pool goes on',
    withLocks(async ({ pool, locks }) => {
      const small = pool(2)
      const provider = locks(small)
      const lock = await take(provider)
      const waiters = Array.from({ length: 10 }, () => provider.acquire('report', { waitMs: 700, leaseMs: 20_000 }))
      expect((await small.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
      expect(await Promise.all(waiters)).toEqual(Array.from({ length: 10 }, () => 'busy'))
      await lock.release()
    }),
  )

  test(
    'a lock of one database excludes nobody in another',
    withLocks(async ({ pool, locks, provider }) => {
      const here = await take(provider)
      const there = await take(locks(pool(1, urlOf('postgres'))))
      expect([await here.release(), await there.release()]).toEqual(['released', 'released'])
    }),
  )

  test(
    "a lock says nothing about the holder's writes: they go through after it is lost",
    withLocks(async ({ pool, provider, another, loseSession }) => {
      const rows = pool(1)
      await rows.query('CREATE TEMPORARY TABLE written (by text)')
      const first = await take(provider)
      await loseSession?.()
      const second = await another().acquire('report', { waitMs: 5_000, leaseMs: 20_000 })
      expect(second).not.toBe('busy')
      await rows.query("INSERT INTO written VALUES ('second')")
      await rows.query("INSERT INTO written VALUES ('first, which has lost the lock')")
      expect((await rows.query('SELECT by FROM written')).rows).toHaveLength(2)
      expect(await first.release()).toBe('lost')
      if (second !== 'busy') await second.release()
    }),
  )

  test(
    'a held lock has no transaction id and no snapshot, so it holds up no vacuum',
    withLocks(async ({ pool, provider, sessions }) => {
      const lock = await take(provider)
      expect(await sessions()).toEqual(['idle in transaction'])
      const { rows } = await pool(1).query(
        `SELECT a.backend_xid, a.backend_xmin FROM pg_stat_activity a JOIN pg_locks l USING (pid)
          WHERE l.locktype = 'advisory' AND a.application_name = current_setting('application_name')`,
      )
      expect(rows).toEqual([{ backend_xid: null, backend_xmin: null }])
      await lock.release()
      expect(await sessions()).toEqual([])
    }),
  )
})

test(
  'a data layer whose transactions are functions holds and frees the same locks',
  withLocks(async ({ pool }) => {
    const sql = postgres(serverUrl, { max: 2 })
    const name = `layer ${randomBytes(6).toString('hex')}`
    const [one, other] = [postgresLock(fromPostgresJs(sql)), postgresLock(fromPg(pool()))]
    const lock = await take(one, name)
    expect(await other.acquire(name, { waitMs: 0, leaseMs: 1_000 })).toBe('busy')
    expect(await lock.renew()).toBe('renewed')
    expect(await lock.release()).toBe('released')
    expect(await (await take(other, name)).release()).toBe('released')
    const short = await one.acquire(name, { waitMs: 0, leaseMs: 300 })
    if (short === 'busy') throw new TypeError('the lock is free')
    const next = await other.acquire(name, { waitMs: 10_000, leaseMs: 20_000 })
    expect(next).not.toBe('busy')
    expect([short.signal.aborted, await short.release()]).toEqual([true, 'lost'])
    if (next !== 'busy') await next.release()
    await sql.end()
  }),
)
