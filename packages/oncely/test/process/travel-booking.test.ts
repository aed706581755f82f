import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { connect, temporaryFile } from '../store/sqlite-fixture.ts'

interface Ledger {
  readonly calls: readonly { readonly trip: string; readonly key: string }[]
  readonly applied: ReadonlyMap<string, { readonly trip: string; readonly answer: string }>
}

interface Providers {
  readonly url: string
  readonly ledgers: Readonly<Record<'flight' | 'hotel' | 'payment', Ledger>>
  close(): Promise<void>
}

const example = join(import.meta.dirname, '../../../../examples/.build/travel-booking')
const killer = pathToFileURL(join(import.meta.dirname, '../../.build/test/process/kill-point.js')).href

async function startProviders(): Promise<Providers> {
  const file = join(example, 'providers.js')
  if (!existsSync(file)) throw new Error(`${file} is missing; run npm run build first.`)
  const { startProviders: start } = (await import(pathToFileURL(file).href)) as { startProviders(): Promise<Providers> }
  const providers = await start()
  onTestFinished(() => providers.close())
  return providers
}

/** Runs the example as a process of its own. */
async function main(given: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['--no-warnings', '--import', killer, join(example, 'main.js'), ...given], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [out, complaint] = ['', '']
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    complaint += chunk
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the example ended with ${code}: ${complaint}`)
  return { out, signal, points: Number(/points (\d+)/.exec(complaint)?.[1]) }
}

/** How often a trip was called, under how many keys, and how often it was applied. */
function seen({ calls, applied }: Ledger, trip: string) {
  const own = calls.filter((call) => call.trip === trip)
  return { keys: new Set(own.map(({ key }) => key)).size, applied: [...applied.values()].filter((one) => one.trip === trip).length }
}

test('the example books its trip, and pays once although the first answer is lost', async () => {
  const { out } = await main([])
  expect(out.split('\n')).toEqual([
    '{"flight":"flight-rome","hotel":"hotel-rome","payment":"payment-rome"}',
    'flight: 1 calls, 1 key, 1 applied',
    'hotel: 1 calls, 1 key, 1 applied',
    'payment: 2 calls, 1 key, 1 applied',
    '',
  ])
})

test('a failure that the provider replays ends in the look-up, and the trip is paid under a second key', async () => {
  const { url, ledgers } = await startProviders()
  const { out } = await main([temporaryFile(), url, 'storm'])
  expect(JSON.parse(out)).toEqual([{ flight: 'flight-storm', hotel: 'hotel-storm', payment: 'payment-storm' }])
  expect(seen(ledgers.payment, 'storm')).toEqual({ keys: 2, applied: 1 })
})

test('killed before and after each commit and each call, every trip ends in the same state, under one key at each provider', async () => {
  const { url, ledgers } = await startProviders()
  const path = temporaryFile()
  const { points } = await main([path, url, 'whole'])
  expect(points).toBeGreaterThan(30)
  const trips = Array.from({ length: points }, (_, index) => `killed-${index + 1}`)
  let killed = 0
  for (const [index, trip] of trips.entries()) {
    // The completer must not finish trips of earlier points in the process that is to be killed at a point of its own: a file each.
    const { signal } = await main([`${path}-${trip}`, url, trip], { KILL_AT: String(index + 1) })
    if (signal === 'SIGKILL') killed++
  }
  await Promise.all(
    [0, 1].map(async (half) => {
      for (const trip of trips.filter((_, index) => index % 2 === half)) {
        const { out } = await main([`${path}-${trip}`, url, trip])
        expect(JSON.parse(out), trip).toEqual([{ flight: `flight-${trip}`, hotel: `hotel-${trip}`, payment: `payment-${trip}` }])
      }
    }),
  )
  console.info(`${points} points, ${killed} processes killed`)
  expect(killed).toBeGreaterThan(points - 3)
  for (const trip of trips) {
    const rows = connect(`${path}-${trip}`).prepare('SELECT event FROM trips').all() as { readonly event: string }[]
    expect([trip, ...rows.map(({ event }) => event)]).toEqual([trip, 'reserved', 'confirmed'])
    for (const [provider, ledger] of Object.entries(ledgers))
      expect([trip, provider, seen(ledger, trip)]).toEqual([trip, provider, { keys: 1, applied: 1 }])
  }
}, 180_000)
