import { memoryOutbox } from 'oncely/store/memory'
import { ManualClock, type OutboxHarness, outboxSuite } from 'oncely/testing'
import { test } from 'vitest'

outboxSuite<unknown>({
  test,
  open: async (): Promise<OutboxHarness<unknown>> => {
    const clock = new ManualClock()
    return {
      outbox: memoryOutbox({ clock }),
      inTransaction: async (run) => void (await run(undefined)),
      advance: async (ms) => clock.advance(ms),
      close: async () => {},
    }
  },
  skip: { 'outbox: a message of a transaction that rolls back never was': 'it is no database: what is enqueued is there at once' },
})
