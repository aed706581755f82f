import { setTimeout as sleep } from 'node:timers/promises'
import { createOncely } from 'oncely'
import { createInbox } from 'oncely/inbox'
import { Pool } from 'pg'
import { postgresStore } from '../../src/store/postgres/index.ts'
import { fromPg } from '../../src/transaction/pg/index.ts'
import type { InboxTask, WorkerCommand, WorkerSaying } from './inbox-task.ts'

/** A consumer's process: its parent is the broker, and delivers over the process's channel. */
const { url, schema, mode } = JSON.parse(process.argv[2] ?? '') as InboxTask
const pool = new Pool({ connectionString: url, max: 8 })
pool.on('error', () => {})
const oncely = createOncely({ namespace: 'books', store: postgresStore(fromPg(pool), { schema }) })
const book = oncely.operation('book', { bind: 'transaction', policy: ['standard', { lease: '2s' }] })

const inbox = createInbox(book, { consumer: 'books', mode, backoff: { first: 5, ceiling: 50 }, crashesMax: 2 }, async ({ message, tx }) => {
  const text = new TextDecoder().decode(message.payload)
  await tx.query(`INSERT INTO "${schema}".effects (value) VALUES ($1)`, [text])
  if (text.startsWith('kills')) process.kill(process.pid, 'SIGKILL')
  say({ say: 'inside', text })
  await sleep(text.startsWith('slow') ? 1_500 : Math.random() * 10)
})

process.on('message', (command: WorkerCommand) => void obey(command))
await inbox.start()
say({ say: 'ready' })

async function obey(command: WorkerCommand): Promise<void> {
  if (command.tell === 'assign') {
    const [position] = await inbox.assigned([{ source: 'books', partition: 0, incarnation: 'one' }])
    say({ say: 'assigned', next: String(position?.next ?? 0n) })
    return
  }
  const batch = command.messages.map(({ id, offset, text }) => ({
    source: 'books',
    incarnation: 'one',
    offset: BigInt(offset),
    messageId: id,
    headers: {},
    payload: new TextEncoder().encode(text),
  }))
  const words = await inbox.process(batch)
  say({ say: 'answered', batch: command.batch, words })
}

function say(saying: WorkerSaying): void {
  process.send?.(saying)
}
