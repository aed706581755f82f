import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createPool } from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import { mysqlStore, printMigrations } from '../../src/store/mysql/index.ts'
import { migrations } from '../../src/store/mysql/migrations/index.ts'
import { fromMysql2 } from '../../src/transaction/mysql2/index.ts'
import { acquired, commit, leaseRequest, newId, options, outcomeOf, policy, request } from '../support/transaction-claim.ts'
import { inPlace, openPlace, type Place, serverUrl } from './mysql-fixture.ts'

async function complete(place: Place, id: Uint8Array = newId()): Promise<Uint8Array> {
  const { ownership } = acquired(await place.store.claim(leaseRequest(id)))
  await place.store.complete(ownership, outcomeOf('done'))
  return id
}

describe('migrations', () => {
  test('ten processes that start at once migrate once, and agree on the database', { timeout: 60_000 }, async () => {
    const place = await openPlace({ migrate: false })
    const program = join(import.meta.dirname, '../../.build/test/process/mysql-migrator.js')
    if (!existsSync(program)) throw new Error(`${program} is missing; run npm run build first.`)
    const children = Array.from({ length: 10 }, () => fork(program, [place.url]))
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
    const script = printMigrations()
    expect(script).toMatch(/^DELIMITER \$\$\n/)
    const connection = await place.pool.getConnection()
    for (const statement of script.replaceAll(/^DELIMITER .*$/gm, '').split('$$'))
      if (statement.trim() !== '') await connection.query(statement)
    connection.release()
    await place.store.open()
    const id = await complete(place)
    expect((await place.store.read(id))?.state).toBe('completed')
    expect(printMigrations({ prefix: 'other_', from: 2 })).not.toContain('oncely_keys')
    expect(() => printMigrations({ from: 99 })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    await place.close('passed')
  })

  test(
    'one that was cut short anywhere runs again, and keeps what is there',
    inPlace(async (place) => {
      const id = await complete(place)
      const { instanceId } = await place.store.open()
      await place.sql('DELETE FROM {migrations}')
      await place.sql('DROP PROCEDURE {claim}')
      await place.sql('DROP TABLE {duplicates}')
      await place.store.migrate()
      expect((await place.store.open()).instanceId).toBe(instanceId)
      expect((await place.store.read(id))?.state).toBe('completed')
      await complete(place)
    }),
  )

  test(
    'two prefixes in one database are two stores',
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
      await place.sql("INSERT INTO {migrations} VALUES (?, 'later', 'x', 0, NOW())", [next])
      await place.store.open()
      await place.sql('UPDATE {migrations} SET breaking = 1 WHERE number = ?', [next])
      await expect(place.store.open()).rejects.toMatchObject({
        code: 'ONCELY_STORE_SCHEMA',
        message: expect.stringContaining('newer version'),
      })
      await expect(place.store.migrate()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
      await place.sql('DELETE FROM {migrations} WHERE number = ?', [next])
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
      await place.sql('DELETE FROM {migrations} WHERE number >= 6')
      await expect(place.store.open()).rejects.toMatchObject({
        code: 'ONCELY_STORE_SCHEMA',
        message: expect.stringMatching(/5 of \d+ .*missing: upkeep.*store\.migrate\(\).*printMigrations/),
      })
    }),
  )

  test(
    'one that fails leaves the session of the pool as it was',
    inPlace(async (place) => {
      const { pool, store } = place.another({ pool: { connectionLimit: 1 } })
      await pool.query("SET SESSION sql_mode = 'ANSI_QUOTES'")
      await place.sql("UPDATE {migrations} SET checksum = 'x' WHERE number = 3")
      await expect(store.migrate()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
      expect((await pool.query('SELECT @@sql_mode AS mode'))[0]).toEqual([{ mode: 'ANSI_QUOTES' }])
    }),
  )

  test(
    'a pool whose statements do not commit by themselves is refused',
    inPlace(async (place) => {
      const { pool, store } = place.another({ pool: { connectionLimit: 1 } })
      await pool.query('SET SESSION autocommit = 0')
      await expect(store.open()).rejects.toMatchObject({
        code: 'ONCELY_CONFIGURATION',
        message: expect.stringMatching(/autocommit = 0.*autocommit = 1/),
      })
      await pool.query('ROLLBACK')
    }),
  )

  test(
    'tables and procedures dropped under a running store are named by every call',
    inPlace(async (place) => {
      await place.store.claim(leaseRequest(newId()))
      await place.sql('DROP TABLE {keys}')
      await place.sql('DROP PROCEDURE {claim_inside}')
      for (const call of [
        () => place.store.claim(leaseRequest(newId())),
        () => place.store.read(newId()),
        () => place.store.transact(request(newId()), options, async () => commit()),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
      }
    }),
  )

  test('a prefix that is more than a name is refused, as is a pool without a database', async () => {
    const layer = fromMysql2({} as never)
    for (const prefix of ['', 'Oncely_', 'a-b', 'a`b', 'a'.repeat(31)]) {
      expect(() => mysqlStore(layer, { prefix })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    }
    for (const trailDays of [0, 1.5, 40_000]) {
      expect(() => mysqlStore(layer, { trailDays })).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
    }
    const pool = createPool({ uri: serverUrl.replace(/\/[^/]*$/, '/'), connectionLimit: 1 })
    await expect(mysqlStore(fromMysql2(pool)).migrate()).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
    await pool.end()
  })
})

describe('the user that runs', () => {
  test(
    'needs no right to change the schema',
    inPlace(async (place) => {
      const user = `r_${place.database}`
      await place.pool.query(`CREATE USER '${user}'@'127.0.0.1'`)
      try {
        await place.pool.query(`GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON ${place.database}.* TO '${user}'@'127.0.0.1'`)
        const url = new URL(place.url)
        url.username = user
        const { store } = place.another({ pool: { uri: url.href } })
        await store.open()
        const { ownership } = acquired(await store.claim(leaseRequest(newId())))
        expect(await store.complete(ownership, outcomeOf('done'))).toBe('done')
        expect((await store.transact(request(newId()), options, async () => commit())).word).toBe('committed')
        await place.advance(policy.tombstoneMs + 1_000)
        expect(await store.sweep({ batchMax: 10 })).toEqual({ removed: 2 })
        const stranger = place.another({ pool: { uri: url.href }, store: { prefix: 'none_' } }).store
        await expect(stranger.migrate()).rejects.toMatchObject({
          code: 'ONCELY_STORE_SCHEMA',
          message: expect.stringContaining('printMigrations()'),
        })
      } finally {
        await place.pool.query(`DROP USER '${user}'@'127.0.0.1'`)
      }
    }),
  )
})

describe('what a running server promises', () => {
  test(
    'is read from its settings: durable here, less with a weaker flush, nothing with another engine',
    inPlace(async (place) => {
      expect(await place.store.open()).toMatchObject({ survives: 'power' })
      try {
        await place.sql('SET GLOBAL innodb_flush_log_at_trx_commit = 2')
        expect(await place.store.open()).toMatchObject({ survives: 'restart', survivesBecause: 'innodb_flush_log_at_trx_commit = 2' })
        await place.sql('SET GLOBAL innodb_flush_log_at_trx_commit = 0')
        expect(await place.store.open()).toMatchObject({ survives: 'nothing' })
      } finally {
        await place.sql('SET GLOBAL innodb_flush_log_at_trx_commit = 1')
      }
      await place.sql('ALTER TABLE {duplicates} ENGINE = MyISAM')
      expect(await place.store.open()).toMatchObject({ survives: 'nothing', survivesBecause: expect.stringContaining('oncely_duplicates') })
    }),
  )

  test(
    'a start of the server raises the epoch before the next lease, and another server renews the instance id',
    inPlace(async (place) => {
      const before = acquired(await place.store.claim(leaseRequest(newId()))).ownership.token
      const { instanceId } = await place.store.open()
      // As the start of the server does with a table in memory.
      await place.sql('DELETE FROM {start}')
      const after = acquired(await place.store.claim(leaseRequest(newId()))).ownership.token
      expect(after.epoch).toBe(before.epoch + 1)
      expect((await place.store.open()).instanceId).toBe(instanceId)
      await place.sql("UPDATE {instance} SET origin = 'another server'")
      expect((await place.store.open()).instanceId).not.toBe(instanceId)
      expect(acquired(await place.store.claim(leaseRequest(newId()))).ownership.token.epoch).toBe(before.epoch + 2)
    }),
  )

  test(
    'upkeep removes outcomes, events and counts whose day has passed',
    inPlace(async (place) => {
      const id = await complete(place)
      await place.store.audit([{ id, operation: 'create-payment', minuteMs: 60_000, reason: 'replay', count: 2 }])
      await place.sql("UPDATE {outcomes} SET day = '2020-01-01'")
      await place.sql('UPDATE {events} SET at = 60000')
      expect(await place.store.sweep({ batchMax: 100 })).toEqual({ removed: 0 })
      const rows = await place.sql(
        'SELECT (SELECT COUNT(*) FROM {outcomes}) AS outcomes, (SELECT COUNT(*) FROM {events}) AS events, (SELECT COUNT(*) FROM {duplicates}) AS duplicates',
      )
      expect(rows).toEqual([{ outcomes: 0, events: 0, duplicates: 0 }])
    }),
  )
})
