import { createServer, get } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { createOncely, type OncelyEvent } from 'oncely'
import { expect, onTestFinished, test } from 'vitest'
import { watchNetwork } from '../../src/platform/index.ts'
import { openStore } from '../store/sqlite-fixture.ts'

async function startServer(): Promise<{ readonly url: string; readonly port: number }> {
  const server = createServer((_, response) => void response.end('ok'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port }
}

test('tells each place once: fetch, node:http and a bare socket', async () => {
  const { url, port } = await startServer()
  const fetched: string[] = []
  await watchNetwork(
    async () => {
      await (await fetch(url)).text()
      await (await fetch(url)).text()
    },
    (place) => fetched.push(place),
  )
  expect(fetched.filter((place) => place.startsWith('fetch'))).toEqual([`fetch ${url}`])
  const requested: string[] = []
  await watchNetwork(
    () => new Promise<void>((resolve) => get(url, (response) => response.resume().on('end', resolve))),
    (place) => requested.push(place),
  )
  expect(requested).toContain('http://127.0.0.1')
  const opened: string[] = []
  await watchNetwork(
    () =>
      new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => resolve(void socket.destroy()))
      }),
    (place) => opened.push(place),
  )
  expect(opened).toEqual(['a new socket'])
})

test('tells nothing of what others do meanwhile', async () => {
  const { url } = await startServer()
  const told: string[] = []
  let end = (): void => {}
  const watched = watchNetwork(
    () =>
      new Promise<void>((resolve) => {
        end = resolve
      }),
    (place) => told.push(place),
  )
  await (await fetch(url)).text()
  end()
  await watched
  expect(told).toEqual([])
})

test.each([true, false])(
  'in development (%s) a transaction that reaches for the network is an event, in steps and in transactions',
  async (development) => {
    const { url } = await startServer()
    const events: OncelyEvent[] = []
    const oncely = createOncely({ namespace: 'test', store: openStore(), development, events: (event) => void events.push(event) })
    const steps = oncely.operation('book', { bind: 'steps' }).define(async ({ step }) => {
      await step.transaction('reserve', async () => (await fetch(url)).text())
      await step.effect('pay', { remoteKeyLifetime: '24h', onAmbiguous: 'quarantine' }, async () => (await fetch(url)).text())
    })
    await steps.run({ principal: 'alice', key: 'k1', input: 1 })
    const transaction = oncely.operation('pay', { bind: 'transaction' })
    await transaction.run({ principal: 'alice', key: 'k2', input: 1 }, async () => (await fetch(url)).text())
    const told = events.filter(({ type, reason }) => type === 'network-in-transaction' && reason.includes('fetch'))
    expect(told.map(({ operation, reason }) => `${operation} ${reason}`)).toEqual(
      development ? [`book step "reserve": fetch ${url}`, `pay fetch ${url}`] : [],
    )
  },
)
