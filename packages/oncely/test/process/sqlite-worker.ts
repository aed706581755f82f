import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'
import type { ClaimAnswer, TransactionOptions } from '../../src/core/index.ts'
import { claimOf, digestOf, outcomeOf } from '../store/sqlite-claim.ts'

/**
 * A process of its own on a file that the test and other processes use too. It says `ready` once its store is open, waits for
 * `go`, does its one task, and answers with what it saw.
 */
export type WorkerTask =
  /** Races for every key, several times at once; an effect is a line in `effects`. */
  | { readonly task: 'race-lease'; readonly path: string; readonly effects: string; readonly keys: number; readonly racers: number }
  /** The same, where an effect is a row of the user's table in the same file. */
  | { readonly task: 'race-transaction'; readonly path: string; readonly keys: number; readonly racers: number }
  /** Holds the file's writer for a while. */
  | { readonly task: 'hold'; readonly path: string; readonly holdMs: number }
  /** Stays in the middle of a handler for ever. */
  | { readonly task: 'hang'; readonly path: string; readonly key: string }
  | { readonly task: 'open'; readonly path: string }

export type WorkerMessage =
  | { readonly say: 'ready' }
  | { readonly say: 'inside' }
  | { readonly say: 'done'; readonly words: Readonly<Record<string, number>>; readonly instanceId: string }

const options: TransactionOptions = { lockTimeoutMs: 20_000, idleTimeoutMs: 60_000, isolation: 'default' }

const task = JSON.parse(process.argv[2] ?? '') as WorkerTask
const store = sqliteStore({ path: task.path, busyTimeoutMs: 20_000 })
if (task.task !== 'open') await store.open()
await new Promise<void>((resolve) => {
  process.once('message', () => resolve())
  say({ say: 'ready' })
})
const words = await run()
const { instanceId } = await store.open()
say({ say: 'done', words, instanceId })
await store.close()
process.disconnect()

function say(message: WorkerMessage): void {
  process.send?.(message)
}

async function run(): Promise<Record<string, number>> {
  switch (task.task) {
    case 'race-lease':
      return race(task.keys, task.racers, (key) => raceLease(key, task.effects))
    case 'race-transaction':
      return race(task.keys, task.racers, raceTransaction)
    case 'hold':
      await store.transact(undefined, options, async ({ tx }) => {
        book(tx, `held by ${process.pid}`)
        say({ say: 'inside' })
        await sleep(task.holdMs)
        return { end: 'commit', outcome: undefined, value: undefined }
      })
      return {}
    case 'hang':
      await store.transact(claimOf(digestOf(task.key), { bind: 'transaction' }), options, async ({ tx }) => {
        book(tx, 'of the process that dies')
        say({ say: 'inside' })
        await sleep(600_000)
        return { end: 'roll-back', value: undefined }
      })
      return {}
    case 'open':
      return {}
    default:
      return task satisfies never
  }
}

/** Every key by all racers of this process at once, twenty keys at a time. */
async function race(keys: number, racers: number, racer: (key: string) => Promise<string>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let first = 0; first < keys; first += 20) {
    const wave = Array.from({ length: Math.min(20, keys - first) }, (_, index) => `key ${first + index}`)
    const all = wave.flatMap((key) => Array.from({ length: racers }, () => racer(key)))
    for (const word of await Promise.all(all)) counts[word] = (counts[word] ?? 0) + 1
  }
  return counts
}

async function raceLease(key: string, effects: string): Promise<string> {
  for (;;) {
    const answer = await store.claim(claimOf(digestOf(key)))
    if (answer.word === 'acquired') {
      appendFileSync(effects, `${key}\n`)
      return `ran, ${await store.complete(answer.ownership, outcomeOf(key))}`
    }
    const word = settled(answer, key)
    if (word !== undefined) return word
    await sleep(25)
  }
}

async function raceTransaction(key: string): Promise<string> {
  for (;;) {
    const result = await store.transact(claimOf(digestOf(key), { bind: 'transaction' }), options, async ({ tx }) => {
      book(tx, key)
      await sleep(1)
      return { end: 'commit', outcome: outcomeOf(key), value: undefined }
    })
    if (result.word !== 'refused') return `ran, ${result.word}`
    const word = settled(result.answer, key)
    if (word !== undefined) return word
    await sleep(25)
  }
}

/** Undefined while somebody else runs. */
function settled(answer: Exclude<ClaimAnswer, { word: 'acquired' }>, key: string): string | undefined {
  if (answer.word === 'in-progress') return undefined
  if (answer.word !== 'replay') return answer.word
  return new TextDecoder().decode(answer.outcome?.bytes) === key ? 'replay' : 'a wrong replay'
}

function book(tx: SqliteConnection, entry: string): void {
  tx.prepare('INSERT INTO books (entry) VALUES (?)').run(entry)
}
