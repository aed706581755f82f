import { describe, expect, onTestFinished, test } from 'vitest'
import { StoreUnavailable } from '../../src/core/index.ts'
import { nodeClock, nodeRandom } from '../../src/platform/index.ts'
import type { Connection } from '../../src/store/sqlite/sqlite-connection.ts'
import { SqliteFile } from '../../src/store/sqlite/sqlite-file.ts'
import { connect, DatabaseSync, entries, temporaryFile } from './sqlite-fixture.ts'

/** A file with a table of books, and a connection of its own that sees what is committed. */
async function openFile(busyTimeoutMs = 2_000) {
  const path = temporaryFile()
  const user = connect(path)
  user.exec('PRAGMA journal_mode = WAL; CREATE TABLE books (entry TEXT NOT NULL UNIQUE)')
  const file = await SqliteFile.open(
    { connect: () => new DatabaseSync(path) },
    { synchronous: 'full', busyTimeoutMs, riskWalResetCorruption: false },
    { clock: nodeClock, random: nodeRandom },
  )
  onTestFinished(() => file.close())
  /** Changes with each commit of another connection. */
  const version = (): number => (user.prepare('PRAGMA data_version').get() as { data_version: number }).data_version
  return { path, user, file, version }
}

const book =
  (entry: string) =>
  (connection: Connection): string => {
    connection.run('INSERT INTO books (entry) VALUES (?)', entry)
    return entry
  }

describe('steps that wait together', () => {
  test('are committed together, each with its own result', async () => {
    const { file, user, version } = await openFile()
    const versions: number[] = []
    const names = Array.from({ length: 20 }, (_, nth) => `entry ${nth}`)
    const answers = await Promise.all(
      names.map(async (name) => {
        const answer = await file.write(book(name))
        versions.push(version())
        return answer
      }),
    )
    expect(answers).toEqual(names)
    expect(entries(user)).toEqual(names)
    expect(new Set(versions).size).toBe(1)
  })

  test('are answered after their commit, never before', async () => {
    const { file, user } = await openFile()
    const seen = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => {
        await file.write(book(name))
        return entries(user).includes(name)
      }),
    )
    expect(seen).toEqual([true, true, true])
  })

  test('are no more than sixty-four to a commit, so that the event loop goes on', async () => {
    const { file, version } = await openFile()
    const versions = new Set<number>()
    await Promise.all(
      Array.from({ length: 130 }, async (_, nth) => {
        await file.write(book(`entry ${nth}`))
        versions.add(version())
      }),
    )
    expect(versions.size).toBe(3)
  })

  test('do not fail with one of them, whose writes are undone', async () => {
    const { file, user } = await openFile()
    const ended = await Promise.allSettled([
      file.write(book('first')),
      file.write((connection) => {
        book('half')(connection)
        throw new Error('the second half failed')
      }),
      file.write(book('first')),
      file.write(book('last')),
    ])
    expect(ended.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
    expect((ended[1] as PromiseRejectedResult).reason).toMatchObject({ message: 'the second half failed' })
    expect(entries(user)).toEqual(['first', 'last'])
  })

  test('all fail, with nothing applied, when SQLite gives up their transaction', async () => {
    const { file, user } = await openFile()
    user.exec("CREATE TRIGGER full BEFORE INSERT ON books WHEN new.entry = 'too much' BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END")
    const ended = await Promise.allSettled(['a', 'too much', 'b'].map((name) => file.write(book(name))))
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(entries(user)).toEqual([])
    await file.write(book('next'))
    expect(entries(user)).toEqual(['next'])
  })

  test('all fail when their commit does', async () => {
    const { path, user } = await openFile()
    user.exec('CREATE TABLE pages (book TEXT REFERENCES books (entry) DEFERRABLE INITIALLY DEFERRED)')
    const file = await SqliteFile.open(
      {
        connect: () => {
          const connection = new DatabaseSync(path)
          connection.exec('PRAGMA foreign_keys = ON')
          return connection
        },
      },
      { synchronous: 'full', busyTimeoutMs: 2_000, riskWalResetCorruption: false },
      { clock: nodeClock, random: nodeRandom },
    )
    onTestFinished(() => file.close())
    const ended = await Promise.allSettled([
      file.write(book('a')),
      file.write((connection) => connection.run("INSERT INTO pages (book) VALUES ('none')")),
      file.write(book('b')),
    ])
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(entries(user)).toEqual([])
    await file.write(book('next'))
    expect(entries(user)).toEqual(['next'])
  })

  test('see what those before them wrote', async () => {
    const { file } = await openFile()
    const count = (connection: Connection): number => connection.get<{ n: number }>('SELECT count(*) AS n FROM books')?.n ?? -1
    const counts = await Promise.all([
      file.write(count),
      file.write((connection) => book('a')(connection) && count(connection)),
      file.write(count),
    ])
    expect(counts).toEqual([0, 1, 1])
  })
})

test('a step that fails alone leaves nothing, and the writer is free for the next', async () => {
  const { file, user } = await openFile()
  const failing = file.write((connection) => {
    book('half')(connection)
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  await file.write(book('next'))
  expect(entries(user)).toEqual(['next'])
})

test('each step waits for its own limit while another process holds the file', async () => {
  const { file, user } = await openFile(80)
  user.exec('BEGIN IMMEDIATE')
  const first = file.write(book('first'))
  const second = file.write(book('second'))
  await expect(first).rejects.toBeInstanceOf(StoreUnavailable)
  await expect(second).rejects.toMatchObject({ applied: 'no', message: expect.stringContaining('80 ms') })
  user.exec('ROLLBACK')
  await file.write(book('third'))
  expect(entries(user)).toEqual(['third'])
})

test('a handler that waits for the writer gets its turn between two commits', async () => {
  const { file, user } = await openFile()
  const order: string[] = []
  const write = (name: string): Promise<void> => file.write(book(name)).then(() => void order.push(name))
  const before = write('before')
  const handler = file
    .begin(1_000, () => undefined)
    .then((wait) => {
      if (wait.word !== 'begun') throw new Error(wait.word)
      order.push('handler')
      const after = write('after')
      book('handler')(wait.writer.connection)
      file.commit(wait.writer.connection)
      file.giveBack(wait.writer.connection, true)
      wait.writer.leave()
      return after
    })
  await Promise.all([before, handler])
  expect(order).toEqual(['before', 'handler', 'after'])
  expect(entries(user)).toEqual(['before', 'handler', 'after'])
})
