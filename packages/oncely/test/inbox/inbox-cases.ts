import { createOncely } from 'oncely'
import { createCompaction, createInbox, type InboxOptions } from 'oncely/inbox'
import { expect, test } from 'vitest'
import { InboxPositionLost, type OutboxRow, type ReceivedMessage, type TransactionalStore } from '../../src/core/index.ts'

/** A store on a place of its own, with a table of the user's. */
export interface InboxPlace<Tx> {
  readonly stores: () => TransactionalStore<Tx>
  readonly apply: (tx: Tx, value: string) => Promise<void>
  readonly effects: () => Promise<readonly string[]>
  readonly close: (ended: 'passed' | 'failed') => Promise<void>
}

function message(offset: number, text = `effect ${offset}`, incarnation = 'one'): ReceivedMessage {
  const payload = new TextEncoder().encode(text)
  return { source: 'books', partition: 3, offset: BigInt(offset), incarnation, messageId: `m${offset}`, headers: {}, payload }
}

/** What no broker's suite shows: offsets, dead letters on their way out, and compaction; on every store that keeps an inbox. */
export function inboxCases<Tx>(open: () => Promise<InboxPlace<Tx>>): void {
  const partition = { source: 'books', partition: 3, incarnation: 'one' }

  function within(body: (place: InboxPlace<Tx>) => Promise<void>): () => Promise<void> {
    return async () => {
      const place = await open()
      let ended: 'passed' | 'failed' = 'failed'
      try {
        await body(place)
        ended = 'passed'
      } finally {
        await place.close(ended)
      }
    }
  }

  function consumer(place: InboxPlace<Tx>, options: Partial<InboxOptions> = {}, store: TransactionalStore<Tx> = place.stores()) {
    const oncely = createOncely({ namespace: 'books', store })
    const operation = oncely.operation('book', { bind: 'transaction' as never, policy: 'standard' })
    let mended = false
    const inbox = createInbox(
      operation,
      { consumer: 'books', mode: 'offset', backoff: { first: 1, ceiling: 2 }, ...options },
      async (context) => {
        const { tx, message } = context as unknown as { tx: Tx; message: ReceivedMessage }
        const text = new TextDecoder().decode(message.payload)
        await place.apply(tx, text)
        if (text.startsWith('fails') && !mended) throw new Error('never')
      },
    )
    const mend = (): void => {
      mended = true
    }
    return { inbox, operation, oncely, mend }
  }

  test(
    'offsets: a partition goes on where its last owner stood, over gaps and redeliveries',
    within(async (place) => {
      const { inbox } = consumer(place)
      expect(await inbox.assigned([partition])).toEqual([{ ...partition, next: undefined }])
      const words = await inbox.process([message(4), message(5), message(9), message(5)])
      expect(words.map(({ word }) => word)).toEqual(['ack', 'ack', 'ack', 'ack'])
      expect(words[3]).toEqual({ word: 'ack', because: 'replayed' })
      const heir = consumer(place).inbox
      expect(await heir.assigned([{ ...partition, logEnd: 10n }])).toEqual([{ ...partition, next: 10n }])
      expect(await heir.process([message(9), message(10)])).toEqual([
        { word: 'ack', because: 'replayed' },
        { word: 'ack', because: 'done' },
      ])
      expect(await place.effects()).toEqual(['effect 4', 'effect 5', 'effect 9', 'effect 10'])
    }),
  )

  test(
    'offsets: of two owners the older one changes nothing, and is told to let go',
    within(async (place) => {
      const older = consumer(place).inbox
      await older.assigned([partition])
      await older.process([message(0)])
      const newer = consumer(place).inbox
      await newer.assigned([partition])
      expect(await older.process([message(1), message(2)])).toEqual([{ word: 'abandoned' }, { word: 'abandoned' }])
      expect(await newer.process([message(1)])).toEqual([{ word: 'ack', because: 'done' }])
      expect(await place.effects()).toEqual(['effect 0', 'effect 1'])
    }),
  )

  test(
    'offsets: a source that was made anew, or lost its end, stops the consumer until an operator says how to go on',
    within(async (place) => {
      const { inbox } = consumer(place)
      await inbox.assigned([partition])
      await inbox.process([message(0), message(1)])
      const anew = { ...partition, incarnation: 'two' }
      await expect(consumer(place).inbox.assigned([anew])).rejects.toBeInstanceOf(InboxPositionLost)
      await expect(consumer(place).inbox.assigned([{ ...partition, logEnd: 1n }])).rejects.toBeInstanceOf(InboxPositionLost)
      await inbox.resetOffset(anew, -1n)
      const heir = consumer(place).inbox
      expect(await heir.assigned([anew])).toEqual([{ ...anew, next: undefined }])
      expect(await heir.process([message(0, 'of the new one', 'two')])).toEqual([{ word: 'ack', because: 'done' }])
      expect(await place.effects()).toEqual(['effect 0', 'effect 1', 'of the new one'])
    }),
  )

  test(
    'offsets: what always fails is quarantined with its step, and runs once when it is redriven',
    within(async (place) => {
      const { inbox, mend } = consumer(place, { attemptsMax: 2 })
      await inbox.assigned([partition])
      let left: readonly ReceivedMessage[] = [message(0), message(1, 'fails'), message(2)]
      const last: unknown[] = []
      for (let round = 0; left.length > 0 && round < 200; round++) {
        const words = await inbox.process(left)
        last.push(...words.filter(({ word }) => word === 'dead-lettered'))
        left = left.filter((_, index) => words[index]?.word === 'retry-later')
      }
      expect(last).toEqual([{ word: 'dead-lettered', reason: 'attempts' }])
      expect(await place.effects()).toEqual(['effect 0', 'effect 2'])
      expect(await inbox.assigned([partition])).toEqual([{ ...partition, next: 3n }])
      const [letter] = await inbox.quarantined()
      if (letter === undefined) throw new Error('there is no letter')
      mend()
      const decision = { by: 'test', reason: 'mended' }
      expect(await inbox.redrive(letter.id, decision)).toBe('redriven')
      expect(await inbox.redeliver()).toBe(1)
      expect([await inbox.redrive(letter.id, decision), await inbox.redeliver()]).toEqual(['absent', 0])
      expect(await place.effects()).toEqual(['effect 0', 'effect 2', 'fails'])
    }),
  )

  test(
    'crashes: a start that never ended makes a message run alone, and only crashes of its own quarantine it',
    within(async (place) => {
      const { inbox, oncely } = consumer(place, { mode: 'message-id', crashesMax: 2 })
      await oncely.open()
      const marks = oncely.store.inbox
      const die = async (key: string, kind: 'fetched' | 'alone'): Promise<void> => {
        await marks?.start('books', [{ id: oncely.recordId({ principal: 'books', key }), lane: undefined, kind }])
      }
      for (let death = 0; death < 5; death++) await die('m1', 'fetched')
      await die('m2', 'fetched')
      await die('m2', 'alone')
      await die('m2', 'alone')
      expect(await inbox.process([message(1), message(2), message(3)])).toEqual([
        { word: 'ack', because: 'done' },
        { word: 'dead-lettered', reason: 'crashes' },
        { word: 'ack', because: 'done' },
      ])
      expect([...(await place.effects())].sort()).toEqual(['effect 1', 'effect 3'])
      expect(await oncely.read(oncely.recordId({ principal: 'books', key: 'm2' }))).toMatchObject({
        state: 'quarantined',
        reason: 'crashes',
      })
      expect((await inbox.stats()).open).toBe(0)
    }),
  )

  test(
    'dead letters: go out with the commit that quarantines, once, and say why',
    within(async (place) => {
      const sent: OutboxRow[] = []
      const store = place.stores()
      const { outbox } = store
      const enqueue = async (tx: Tx, rows: readonly OutboxRow[]): Promise<void> => {
        sent.push(...rows)
        await outbox?.enqueue(tx, rows)
      }
      Object.defineProperty(store, 'outbox', { value: { enqueue } })
      const { inbox } = consumer(place, { mode: 'message-id', attemptsMax: 1, deadLetter: 'books.dead' }, store)
      expect(await inbox.process([message(7, 'fails'), message(8)])).toEqual([
        { word: 'dead-lettered', reason: 'attempts' },
        { word: 'ack', because: 'done' },
      ])
      expect(await inbox.process([message(7, 'fails')])).toEqual([{ word: 'dead-lettered', reason: 'attempts' }])
      expect(await place.effects()).toEqual(['effect 8'])
      expect(await outbox?.stats()).toMatchObject({ backlog: 1, parked: 0 })
      expect(sent[0]?.headers).toMatchObject({
        'oncely-reason': 'attempts',
        'oncely-attempts': '1',
        'oncely-consumer': 'books',
        'oncely-origin': 'books/3/7',
        'oncely-message-id': 'm7',
        'oncely-error': 'Error: never',
      })
    }),
  )

  test(
    'compaction: an id counts once, with the rows of its batch, and not at all when they are rolled back',
    within(async (place) => {
      const { operation, oncely, inbox } = consumer(place, { mode: 'message-id' })
      const compaction = createCompaction<Tx>(operation as never, { consumer: 'books', windowMs: 60_000 })
      await oncely.open()
      const ingest = (key: string, ids: readonly string[], fails = false): Promise<unknown> =>
        operation.run({ principal: 'books', key, input: ids }, async (context) => {
          const { tx } = context as unknown as { tx: Tx }
          const { fresh } = await compaction.keep(tx, ids, (id) => id)
          for (const id of fresh) await place.apply(tx, id)
          if (fails) throw new Error('the batch fails')
        })
      await expect(ingest('batch 0', ['a', 'b'], true)).rejects.toThrow('the batch fails')
      await ingest('batch 1', ['a', 'b', 'a'])
      await ingest('batch 2', ['b', 'c'])
      expect(await place.effects()).toEqual(['a', 'b', 'c'])
      expect(await inbox.stats()).toMatchObject({ duplicates: 1, lateDuplicates: 0 })
    }),
  )

  test(
    'compaction: ids that are not known any more are swept with the records',
    within(async (place) => {
      const store = place.stores()
      const { inbox: kept } = store
      if (kept === undefined) throw new TypeError('no inbox')
      const { operation, oncely } = consumer(place, { mode: 'message-id' }, store)
      const compaction = createCompaction<Tx>(operation as never, { consumer: 'books', windowMs: 1_000 })
      await oncely.open()
      await operation.run({ principal: 'books', key: 'batch', input: [] }, async (context) => {
        await compaction.keep((context as unknown as { tx: Tx }).tx, ['a'], (id) => id)
      })
      let removed = 0
      const sweep = kept.sweep.bind(kept)
      kept.sweep = async (limits) => {
        const rows = await sweep(limits)
        removed += rows
        return rows
      }
      const removedSoFar = async (): Promise<number> => {
        await oncely.sweep()
        return removed
      }
      await expect.poll(removedSoFar, { timeout: 10_000 }).toBe(1)
    }),
  )
}
