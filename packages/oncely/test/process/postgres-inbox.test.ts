import { setTimeout as sleep } from 'node:timers/promises'
import { createOncely } from 'oncely'
import { createInbox } from 'oncely/inbox'
import { expect, test } from 'vitest'
import { effects, openPlace, type Place, serverUrl } from '../store/postgres-fixture.ts'
import { InboxProcess } from './inbox-process.ts'
import type { InboxTask, WireMessage } from './inbox-task.ts'

async function inPlace(body: (place: Place) => Promise<void>): Promise<void> {
  const place = await openPlace()
  let ended: 'passed' | 'failed' = 'failed'
  try {
    await body(place)
    ended = 'passed'
  } finally {
    await place.close(ended)
  }
}

function taskFor({ schema }: Place, mode: InboxTask['mode'] = 'message-id'): InboxTask {
  return { url: serverUrl, schema, mode }
}

/** The operator's side, in the test's process. */
function operator(place: Place) {
  const oncely = createOncely({ namespace: 'books', store: place.store })
  const operation = oncely.operation('book', { bind: 'transaction', policy: 'standard' })
  return createInbox(operation, { consumer: 'books' }, () => {})
}

/** Small, seeded and good enough to shuffle (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Queued {
  readonly message: WireMessage
  dueMs: number
}

/**
 * An at-least-once broker with a few consumers. What a dead process had is delivered again to another; a fresh process takes the
 * place of each one that dies.
 */
async function deliver(task: InboxTask, queue: Queued[], random: () => number, kills: number): Promise<{ readonly deaths: number }> {
  let deaths = 0
  let out = 0
  let killsLeft = kills
  const consumer = async (): Promise<void> => {
    let worker = new InboxProcess(task)
    await worker.said('ready')
    while (queue.length > 0 || out > 0) {
      const nowMs = performance.now()
      const batch = queue.filter(({ dueMs }) => dueMs <= nowMs).slice(0, 1 + Math.floor(random() * 6))
      for (const each of batch) queue.splice(queue.indexOf(each), 1)
      if (batch.length === 0) {
        await sleep(5)
        continue
      }
      out += batch.length
      const working = worker.process(batch.map(({ message }) => message))
      if (killsLeft > 0 && random() < 0.3) {
        killsLeft--
        await sleep(random() * 30)
        worker.signal('SIGKILL')
      }
      const words = await working
      out -= batch.length
      batch.forEach((each, index) => {
        const delivery = words?.[index]
        if (delivery?.word === 'ack' || delivery?.word === 'dead-lettered') return
        queue.push({ message: each.message, dueMs: performance.now() + (delivery?.word === 'retry-later' ? delivery.retryAfterMs : 0) })
      })
      if (words === undefined) {
        deaths++
        worker = new InboxProcess(task)
        await worker.said('ready')
      }
    }
    worker.signal('SIGKILL')
  }
  await Promise.all([consumer(), consumer(), consumer()])
  return { deaths }
}

function shuffled(messages: readonly WireMessage[], random: () => number): Queued[] {
  const copies = messages.flatMap((message) => Array.from({ length: 1 + Math.floor(random() * 4) }, () => message))
  return copies
    .map((message) => ({ message, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ message }) => ({ message, dueMs: 0 }))
}

test(
  'messages delivered one to four times to processes that are killed: as many effects as messages, none twice, none missing',
  () =>
    inPlace(async (place) => {
      const random = seeded(20)
      const messages = Array.from({ length: 80 }, (_, index) => ({ id: `m${index}`, offset: index, text: `effect ${index}` }))
      const { deaths } = await deliver(taskFor(place), shuffled(messages, random), random, 8)
      expect(deaths).toBeGreaterThan(3)
      expect((await effects(place)).sort()).toEqual(messages.map(({ text }) => text).sort())
      expect(await operator(place).quarantined()).toEqual([])
    }),
  60_000,
)

test(
  'a message that kills its process is quarantined, its neighbours are not, and the rest goes on',
  () =>
    inPlace(async (place) => {
      const random = seeded(7)
      const messages = Array.from({ length: 30 }, (_, index) => ({
        id: `m${index}`,
        offset: index,
        text: index === 11 ? 'kills its process' : `effect ${index}`,
      }))
      const { deaths } = await deliver(taskFor(place), shuffled(messages, random), random, 0)
      const letters = await operator(place).quarantined()
      expect(letters.map(({ messageId, reason }) => [messageId, reason])).toEqual([['m11', 'crashes']])
      expect(letters[0]?.error).toBe('its process ended 2 times while nothing else ran in it')
      expect(deaths).toBeLessThan(8)
      expect((await effects(place)).sort()).toEqual(
        messages
          .filter(({ id }) => id !== 'm11')
          .map(({ text }) => text)
          .sort(),
      )
    }),
  60_000,
)

for (const mode of ['message-id', 'offset'] as const) {
  test(
    `a zombie that wakes after its messages were given to another process changes nothing (${mode})`,
    () =>
      inPlace(async (place) => {
        const zombie = new InboxProcess(taskFor(place, mode))
        await zombie.said('ready')
        zombie.tell({ tell: 'assign' })
        await zombie.said('assigned')
        const messages = [
          { id: 'm0', offset: 0, text: 'slow effect' },
          { id: 'm1', offset: 1, text: 'effect 1' },
        ]
        const late = zombie.process(messages)
        await zombie.said('inside')
        zombie.signal('SIGSTOP')

        const heir = new InboxProcess(taskFor(place, mode))
        await heir.said('ready')
        heir.tell({ tell: 'assign' })
        expect(await heir.said('assigned')).toEqual({ say: 'assigned', next: '0' })
        let left = messages
        while (left.length > 0) {
          const words = await heir.process(left)
          left = left.filter((_, index) => words?.[index]?.word === 'retry-later')
          if (left.length > 0) await sleep(50)
        }
        expect((await effects(place)).sort()).toEqual(['effect 1', 'slow effect'])

        zombie.signal('SIGCONT')
        const words = await late
        expect((await effects(place)).sort()).toEqual(['effect 1', 'slow effect'])
        if (mode === 'offset') expect(words?.[0]?.word).not.toBe('ack')
      }),
    60_000,
  )
}
