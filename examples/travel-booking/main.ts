// Books trips at three providers, of which one drops the connection after it has charged.
//   node main.js                                  starts the providers and books one trip
//   node main.js <database> <providers> <trip…>   books these trips; kill it at any moment and start it again
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Booked, openBooking } from './booking.ts'
import { startProviders } from './providers.ts'

const [path, url, ...trips] = process.argv.slice(2)

if (path === undefined || url === undefined) {
  const providers = await startProviders()
  const [answer] = await book(join(mkdtempSync(join(tmpdir(), 'travel-')), 'travel.db'), providers.url, ['rome'])
  process.stdout.write(`${JSON.stringify(answer)}\n`)
  for (const [name, { calls, applied }] of Object.entries(providers.ledgers)) {
    const keys = new Set(calls.map(({ key }) => key))
    process.stdout.write(`${name}: ${calls.length} calls, ${keys.size} key, ${applied.size} applied\n`)
  }
  await providers.close()
} else {
  process.stdout.write(`${JSON.stringify(await book(path, url, trips))}\n`)
}

async function book(database: string, providers: string, names: readonly string[]): Promise<readonly Booked[]> {
  const { oncely, booking } = await openBooking(database, providers)
  // Finishes what other processes have left, also when nobody asks for it again.
  await oncely.start({ completer: { everyMs: 500 } })
  const answers = names.map(async (trip): Promise<Booked> => {
    for (;;) {
      const result = await booking.run({ principal: 'traveller', key: `book-${trip}`, input: { trip } })
      if (result.status === 'done' || result.status === 'replayed') return result.value
      if (result.status !== 'in-progress') throw new Error(`trip ${trip} is ${result.status}`)
      await delay(Math.min(result.retryAfterMs, 500))
    }
  })
  const booked = await Promise.all(answers)
  await oncely.drain()
  return booked
}
