import { createOncely, type OutboxMessage, type OutboxSink, Rejection, type TransactionalStore } from 'oncely'
import { describe, expect, test } from 'vitest'

/** A store with a transaction of the user's. */
export interface EngineOutbox<Tx> {
  readonly store: TransactionalStore<Tx>
  begin(): Promise<{ readonly tx: Tx; commit(): Promise<void>; rollback(): Promise<void> }>
  close(): Promise<void>
}

/** What the engine does with the messages of a handler, on a real database. */
export function outboxEngine<Tx>(open: () => Promise<EngineOutbox<Tx>>): void {
  const policy = ['standard', { survives: 'restart' }] as const
  const inWorld =
    (body: (world: EngineOutbox<Tx> & { oncely: ReturnType<typeof make>; backlog: () => Promise<number | undefined> }) => Promise<void>) =>
    async (): Promise<void> => {
      const world = await open()
      const oncely = make(world.store)
      try {
        await body({ ...world, oncely, backlog: async () => (await oncely.stats()).outbox?.backlog })
      } finally {
        await oncely.drain()
        await world.close()
      }
    }
  const make = (store: TransactionalStore<Tx>) => createOncely({ namespace: 'outbox', store })
  const call = { principal: 'p', input: 1 }

  describe('the messages of a handler', () => {
    test(
      'commit with its outcome, once',
      inWorld(async ({ oncely, backlog }) => {
        const pay = oncely.operation('pay', { bind: 'transaction', policy } as never)
        const handler = async ({ outbox }: { outbox: { send(draft: object): Promise<string> } }): Promise<string> =>
          outbox.send({ topic: 't', payload: 1 })
        const first = await pay.run({ ...call, key: 'k1' }, handler as never)
        const second = await pay.run({ ...call, key: 'k1' }, handler as never)
        expect([first.status, second.status]).toEqual(['done', 'replayed'])
        expect((first as { value: unknown }).value).toBe((second as { value: unknown }).value)
        expect(await backlog()).toBe(1)
      }),
    )

    test(
      'of one that throws or rejects are never sent',
      inWorld(async ({ oncely, backlog }) => {
        const pay = oncely.operation('pay', { bind: 'transaction', policy } as never)
        const ending =
          (error: unknown) =>
          async ({ outbox }: { outbox: { send(draft: object): Promise<string> } }): Promise<never> => {
            await outbox.send({ topic: 't', payload: 1 })
            throw error
          }
        await expect(pay.run({ ...call, key: 'k1' }, ending(new Error('no')) as never)).rejects.toThrow('no')
        expect((await pay.run({ ...call, key: 'k2' }, ending(new Rejection({ code: 'declined' })) as never)).status).toBe('rejected')
        expect(await backlog()).toBe(0)
      }),
    )

    test(
      'sent after it ended are refused',
      inWorld(async ({ oncely, backlog }) => {
        const pay = oncely.operation('pay', { bind: 'transaction', policy } as never)
        let late: { send(draft: object): Promise<string> } | undefined
        await pay.run({ ...call, key: 'k1' }, (async ({ outbox }: { outbox: typeof late }) => {
          late = outbox
        }) as never)
        expect(() => late?.send({ topic: 't', payload: 1 })).toThrow(expect.objectContaining({ code: 'ONCELY_OUTBOX_SEALED' }))
        expect(await backlog()).toBe(0)
      }),
    )

    test(
      'within a transaction of the user’s commit with it, and are gone with it',
      inWorld(async ({ oncely, backlog, begin }) => {
        const pay = oncely.operation('pay', { bind: 'transaction', policy } as never)
        const handler = async ({ outbox }: { outbox: { send(draft: object): Promise<string> } }): Promise<string> =>
          outbox.send({ topic: 't', payload: 1 })
        const kept = await begin()
        expect((await pay.within(kept.tx, { ...call, key: 'k1' }, handler as never)).status).toBe('done')
        await kept.commit()
        const dropped = await begin()
        expect((await pay.within(dropped.tx, { ...call, key: 'k2' }, handler as never)).status).toBe('done')
        await dropped.rollback()
        expect(await backlog()).toBe(1)
      }),
    )

    test(
      'are relayed by start({ relay }), at once after the commit, until drain()',
      inWorld(async ({ oncely, backlog }) => {
        const pay = oncely.operation('pay', { bind: 'transaction', policy } as never)
        let arrived: (message: OutboxMessage) => void = () => {}
        const arrival = new Promise<OutboxMessage>((resolve) => {
          arrived = resolve
        })
        const sink: OutboxSink = {
          name: 'test',
          send: async (messages) => {
            for (const message of messages) arrived(message)
            return messages.map(() => 'sent' as const)
          },
        }
        await oncely.start({ relay: [sink], relayOptions: { pollMinMs: 60_000, pollMaxMs: 60_000 } })
        await expect(oncely.start({ relay: [sink] })).rejects.toMatchObject({ code: 'ONCELY_CONFIGURATION' })
        const done = await pay.run({ ...call, key: 'k1' }, (async ({ outbox }: { outbox: { send(draft: object): Promise<string> } }) =>
          outbox.send({ topic: 't', aggregate: 'a', type: 'paid', payload: { amount: 5 } })) as never)
        const message = await arrival
        expect(message).toMatchObject({ topic: 't', aggregate: 'a', type: 'paid', attempt: 1, contentType: 'application/json' })
        expect(message.id).toBe((done as { value: unknown }).value)
        await oncely.drain()
        expect(await backlog()).toBe(0)
      }),
    )
  })
}
