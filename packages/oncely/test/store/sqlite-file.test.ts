import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'
import { describe, expect, test } from 'vitest'
import { ConfigurationError, compareTokens, StoreSchemaMismatch, StoreTooWeak, StoreUnavailable } from '../../src/core/index.ts'
import { checksumOf, migrations } from '../../src/store/sqlite/migration.ts'
import { hasWalResetBug, loadDriver, type SqliteDriver } from '../../src/store/sqlite/sqlite-driver.ts'
import { claimOf, newId, outcomeOf } from './sqlite-claim.ts'
import { connect, openStore, temporaryFile } from './sqlite-fixture.ts'

describe('the source', () => {
  test.each([':memory:', '', 'file:memdb?mode=memory'])('%j is refused, and memoryStore named', (path) => {
    expect(() => sqliteStore({ path })).toThrow(/memoryStore/)
  })

  test('a factory or handle of a database in memory is refused when it is opened', async () => {
    await expect(openStore({ factory: () => connect(':memory:') }).open()).rejects.toThrow(/memoryStore/)
    await expect(openStore({ handle: connect(':memory:') }).open()).rejects.toBeInstanceOf(ConfigurationError)
  })

  test('none or two of them are refused', () => {
    expect(() => sqliteStore({} as { path: string })).toThrow(/got 0 of path, factory and handle/)
    expect(() => sqliteStore({ path: 'a.db', factory: () => connect('a.db') } as unknown as { path: string })).toThrow(/got 2 of/)
  })

  test('a factory that opens another file each time is refused', async () => {
    await expect(openStore({ factory: () => connect(temporaryFile()) }).open()).rejects.toThrow(/two different files/)
  })

  test('numbers out of their bounds are refused with the bound', () => {
    expect(() => sqliteStore({ path: 'a.db', busyTimeoutMs: -1 })).toThrow(
      /busyTimeoutMs is -1; it must be a whole number from 0 to 600000/,
    )
    expect(() => sqliteStore({ path: 'a.db', trailDays: 0 })).toThrow(/trailDays is 0/)
  })
})

describe('the driver', () => {
  const sound = { DatabaseSync: class {} } as unknown as SqliteDriver
  const other = { DatabaseSync: class {} } as unknown as SqliteDriver
  const missing = (): never => {
    throw new Error("Cannot find module '@photostructure/sqlite'")
  }

  test('is the one inside Node where its SQLite is sound', () => {
    expect(loadDriver(false, { builtIn: () => ({ driver: sound, version: '3.51.3' }), fallback: () => other })).toBe(sound)
  })

  test('is the optional dependency where Node has none, or one that can corrupt the file', () => {
    expect(loadDriver(false, { builtIn: () => undefined, fallback: () => other })).toBe(other)
    expect(loadDriver(false, { builtIn: () => ({ driver: sound, version: '3.50.4' }), fallback: () => other })).toBe(other)
  })

  test('is the one inside Node, whatever its version, at the caller’s risk or for want of another', () => {
    const builtIn = () => ({ driver: sound, version: '3.50.4' })
    expect(loadDriver(true, { builtIn, fallback: () => other })).toBe(sound)
    expect(loadDriver(false, { builtIn, fallback: missing })).toBe(sound)
  })

  test('that is missing names the line that installs it', () => {
    const load = (): SqliteDriver => loadDriver(false, { builtIn: () => undefined, fallback: missing })
    expect(load).toThrow(ConfigurationError)
    expect(load).toThrow(/npm install @photostructure\/sqlite@/)
  })

  test.each([
    ['3.44.5', true],
    ['3.44.6', false],
    ['3.45.1', true],
    ['3.50.6', true],
    ['3.50.7', false],
    ['3.51.2', true],
    ['3.51.3', false],
    ['3.52.0', true],
    ['3.53.0', false],
    ['3.60.0', false],
    ['2.8.17', true],
    ['4.0.0', false],
  ])('SQLite %s has the WAL-reset bug: %s', (version, expected) => {
    expect(hasWalResetBug(version)).toBe(expected)
  })

  test('with that bug is refused when the file is opened, unless the risk is named', async () => {
    const path = temporaryFile()
    const factory = (): SqliteConnection => reportingVersion(connect(path), '3.50.4')
    const refused = openStore({ factory }).open()
    await expect(refused).rejects.toBeInstanceOf(StoreTooWeak)
    await expect(refused).rejects.toThrow(/3\.50\.4.*riskWalResetCorruption: true/)
    expect((await openStore({ factory, riskWalResetCorruption: true }).open()).survives).toBe('power')
  })
})

describe('what the file survives', () => {
  test('full: power, and why', async () => {
    const info = await openStore().open()
    expect(info).toMatchObject({ survives: 'power', survivesBecause: expect.stringContaining('synchronous = FULL') })
    expect(info.instanceId).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('normal: a restart, and every start raises the epoch', async () => {
    const path = temporaryFile()
    const tokens = []
    for (let start = 0; start < 2; start++) {
      const store = openStore({ path, synchronous: 'normal' })
      expect(await store.open()).toMatchObject({ survives: 'restart', survivesBecause: expect.stringContaining('NORMAL') })
      tokens.push((await acquired(store)).token)
    }
    expect(tokens[1]?.epoch).toBeGreaterThan(tokens[0]?.epoch ?? Number.POSITIVE_INFINITY)
  })

  test('a shared connection is judged by its own settings', async () => {
    const handle = connect(temporaryFile())
    handle.exec('PRAGMA synchronous = OFF')
    expect((await openStore({ handle }).open()).survives).toBe('restart')
  })

  test('a file that is opened again is the same one', async () => {
    const path = temporaryFile()
    const first = openStore({ path })
    const [before, token] = [await first.open(), (await acquired(first)).token]
    const second = openStore({ path })
    expect((await second.open()).instanceId).toBe(before.instanceId)
    expect(await acquired(second)).toMatchObject({ token: { epoch: token.epoch, seq: token.seq + 1n } })
  })

  test('a file that came back from a copy is another one, and its tokens are newer than any from before', async () => {
    const path = temporaryFile()
    const first = openStore({ path })
    const before = await first.open()
    const old = (await acquired(first)).token
    await first.close()
    copyFileSync(path, `${path}.backup`)
    const lived = openStore({ path })
    const issued = [old, (await acquired(lived)).token, (await acquired(lived)).token]
    await lived.close()
    renameSync(`${path}.backup`, path)
    const restored = openStore({ path })
    expect((await restored.open()).instanceId).not.toBe(before.instanceId)
    expect((await restored.stats()).records).toBe(1)
    const { token } = await acquired(restored)
    for (const old of issued) expect(compareTokens(token, old)).toBeGreaterThan(0)
  })

  test('a restore in place is told', async () => {
    const store = openStore()
    const [before, token] = [await store.open(), (await acquired(store)).token]
    await store.markRestored()
    expect(compareTokens((await acquired(store)).token, token)).toBeGreaterThan(0)
    expect((await acquired(store)).token.epoch).toBeGreaterThan(token.epoch)
    expect(before.instanceId).not.toBe('')
  })

  test('a restore told by another process is seen in the instance id', async () => {
    const path = temporaryFile()
    const [store, other] = [openStore({ path }), openStore({ path })]
    const { instanceId } = await store.open()
    expect(await store.instanceId?.()).toBe(instanceId)
    await other.markRestored()
    expect(await store.instanceId?.()).not.toBe(instanceId)
  })

  async function acquired(store: ReturnType<typeof openStore>) {
    const answer = await store.claim(claimOf(newId()))
    if (answer.word !== 'acquired') throw new TypeError(answer.word)
    return answer.ownership
  }
})

describe('the schema', () => {
  test('published steps are never changed', () => {
    expect(migrations.map(({ number }) => number)).toEqual(migrations.map((_, index) => index + 1))
    expect(migrations.map((migration) => checksumOf(migration).slice(0, 16))).toEqual([
      'dfc142e24deb485d',
      'a28efc48fc551497',
      '7797a83f05ec21a0',
      'b3dfbe7cb8db795d',
      '3f37176f1887367e',
    ])
  })

  test('several stores that start at once migrate once', async () => {
    const path = temporaryFile()
    const stores = Array.from({ length: 6 }, () => openStore({ path }))
    const infos = await Promise.all(stores.map((store) => store.open()))
    expect(new Set(infos.map(({ instanceId }) => instanceId)).size).toBe(1)
    await Promise.all(stores.map((store) => store.migrate()))
    expect(connect(path).prepare('SELECT number FROM oncely_migrations').all()).toEqual(migrations.map(({ number }) => ({ number })))
  })

  test('a newer step that breaks is refused, one that does not is not', async () => {
    const path = temporaryFile()
    await openStore({ path }).open()
    const user = connect(path)
    user.exec("INSERT INTO oncely_migrations VALUES (99, 'from the future', 'f00', 0, 0)")
    expect((await openStore({ path }).open()).survives).toBe('power')
    user.exec('UPDATE oncely_migrations SET breaking = 1 WHERE number = 99')
    const refused = openStore({ path }).open()
    await expect(refused).rejects.toBeInstanceOf(StoreSchemaMismatch)
    await expect(refused).rejects.toThrow(/migration 99 \("from the future"\)/)
  })

  test('a step that was changed after it ran is refused', async () => {
    const path = temporaryFile()
    await openStore({ path }).open()
    connect(path).exec("UPDATE oncely_migrations SET checksum = 'changed'")
    await expect(openStore({ path }).open()).rejects.toMatchObject({ code: 'ONCELY_STORE_SCHEMA' })
  })

  test('opening while another connection holds the writer needs no writer', async () => {
    const path = temporaryFile()
    await openStore({ path }).open()
    connect(path).exec('BEGIN IMMEDIATE')
    expect((await openStore({ path, busyTimeoutMs: 0 }).open()).survives).toBe('power')
  })

  test('two names of one file share its writer queue', async () => {
    const path = temporaryFile()
    const link = join(dirname(path), 'link.db')
    await openStore({ path }).open()
    symlinkSync(path, link)
    const stores = [openStore({ path, busyTimeoutMs: 2_000 }), openStore({ path: link, busyTimeoutMs: 2_000 })] as const
    const words = await Promise.all(Array.from({ length: 100 }, (_, index) => (index % 2 ? stores[0] : stores[1]).claim(claimOf(newId()))))
    expect(words.filter(({ word }) => word === 'acquired').length).toBe(100)
  })
})

describe('the disk', () => {
  const unavailable = (detail: string) => ({
    code: 'ONCELY_STORE_UNAVAILABLE',
    applied: 'no',
    retryable: true,
    message: expect.stringContaining(detail),
  })

  test('a folder that does not exist', async () => {
    await expect(openStore({ path: '/nonexistent/folder/store.db' }).open()).rejects.toMatchObject(unavailable('CANTOPEN'))
  })

  test('a file that is no database', async () => {
    const path = temporaryFile()
    writeFileSync(path, 'no database '.repeat(1_000))
    await expect(openStore({ path }).open()).rejects.toMatchObject(unavailable('NOTADB'))
  })

  test('a path that is a folder', async () => {
    const path = temporaryFile()
    mkdirSync(path)
    await expect(openStore({ path }).open()).rejects.toBeInstanceOf(StoreUnavailable)
  })

  test('a file that cannot grow: the claim is surely not applied, and the store works again with room', async () => {
    const path = temporaryFile()
    const handle = connect(path)
    const store = openStore({ handle })
    await store.open()
    const first = await store.claim(claimOf(newId()))
    if (first.word !== 'acquired') throw new TypeError(first.word)
    handle.exec('PRAGMA max_page_count = 1')
    const large = { codec: 2, bytes: new Uint8Array(500_000), checksum: new Uint8Array(16) }
    await expect(store.complete(first.ownership, large)).rejects.toMatchObject(unavailable('FULL'))
    expect((await store.read(first.ownership.id))?.state).toBe('running')
    handle.exec('PRAGMA max_page_count = 1000000')
    expect(await store.complete(first.ownership, large)).toBe('done')
  })

  test('a corrupt page is an outage, never an answer', async () => {
    const path = temporaryFile()
    const store = openStore({ path })
    const id = newId()
    const claimed = await store.claim(claimOf(id))
    if (claimed.word === 'acquired') await store.complete(claimed.ownership, outcomeOf('kept'))
    await store.close()
    const user = connect(path)
    const { rootpage } = user.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'oncely_keys'").get() as { rootpage: number }
    const { page_size: pageSize } = user.prepare('PRAGMA page_size').get() as { page_size: number }
    user.close()
    damage(path, (rootpage - 1) * pageSize, pageSize)
    await expect(openStore({ path }).claim(claimOf(id))).rejects.toMatchObject(unavailable('CORRUPT'))
  })

  test('a file that cannot be written', async () => {
    const path = temporaryFile()
    await openStore({ path }).open()
    const readOnly = (): SqliteConnection => {
      const connection = connect(path)
      connection.exec('PRAGMA query_only = ON')
      return connection
    }
    const store = openStore({ factory: readOnly })
    await expect(store.claim(claimOf(newId()))).rejects.toMatchObject(unavailable('READONLY'))
  })

  test('after close every call is refused', async () => {
    const store = openStore()
    await store.open()
    await store.close()
    await store.close()
    await expect(store.claim(claimOf(newId()))).rejects.toMatchObject(unavailable('closed'))
    await expect(store.open()).rejects.toMatchObject(unavailable('closed'))
  })

  test('an opening that failed can be tried again', async () => {
    const path = join(dirname(temporaryFile()), 'later', 'store.db')
    const store = openStore({ path })
    await expect(store.open()).rejects.toMatchObject(unavailable('CANTOPEN'))
    mkdirSync(dirname(path))
    expect((await store.open()).survives).toBe('power')
  })
})

function damage(path: string, offset: number, length: number): void {
  const bytes = readFileSync(path)
  bytes.fill(0xa5, offset, offset + length)
  writeFileSync(path, bytes)
}

/** The real connection of a file, under another version's name. */
function reportingVersion(connection: SqliteConnection, version: string): SqliteConnection {
  return {
    get isTransaction() {
      return connection.isTransaction ?? false
    },
    exec: (sql) => connection.exec(sql),
    prepare: (sql) => connection.prepare(sql.replace('sqlite_version()', `'${version}'`)),
    close: () => connection.close(),
  }
}
