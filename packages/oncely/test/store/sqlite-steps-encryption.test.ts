import { createOncely } from 'oncely'
import { type SqliteConnection, sqliteStore } from 'oncely/store/sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { connect, temporaryFile } from './sqlite-fixture.ts'

const secrets = [{ id: 1, key: 'sixteen bytes or more' }]

function start(path: string, encrypt: boolean) {
  const store = sqliteStore<SqliteConnection>({ path })
  onTestFinished(() => store.close())
  const oncely = createOncely({ namespace: 'test', store, secrets, encrypt })
  const booking = oncely.operation('book', { bind: 'steps' })
  return booking.define(async ({ step, input, attempt }) => {
    const seat = await step.transaction('reserve', () => 'window-seat')
    if (attempt === 1) throw new RangeError('not yet')
    return { input, seat }
  })
}

test.each([true, false])(
  'with encrypt: %s, whoever reads the file reads input and values: no, or yes; and the next attempt reads them',
  async (encrypt) => {
    const path = temporaryFile()
    const booking = start(path, encrypt)
    const call = { principal: 'alice', key: 'k1', input: { card: 'card-4242' } }
    await expect(booking.run(call)).rejects.toThrow('not yet')
    const rows = connect(path).prepare("SELECT coalesce(group_concat(CAST(bytes AS TEXT)), '') AS text FROM oncely_steps").get() as {
      text: string
    }
    expect([rows.text.includes('card-4242'), rows.text.includes('window-seat')]).toEqual([!encrypt, !encrypt])
    // The lease that was let lapse ends within a millisecond of the store's time.
    await expect
      .poll(() => booking.run(call))
      .toEqual({ status: 'done', value: { input: { card: 'card-4242' }, seat: 'window-seat' }, attempt: 2 })
  },
)
