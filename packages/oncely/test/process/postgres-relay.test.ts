import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createOncely } from 'oncely'
import { expect, test } from 'vitest'
import { openPlace, serverUrl } from '../store/postgres-fixture.ts'

const aggregates = 20
const transactions = 100

/** Waits for a condition, in bounds. */
async function until(what: string, limitMs: number, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`${what}: not within ${limitMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('four relays, two of them killed while they send: every aggregate in order, nothing lost', { timeout: 60_000 }, async () => {
  const place = await openPlace()
  const program = join(import.meta.dirname, '../../.build/test/process/postgres-relay.js')
  if (!existsSync(program)) throw new Error(`${program} is missing; run npm run build first.`)
  const relays = new Map<string, ChildProcess>()
  const killed: string[] = []
  const kill = (name: string): void => {
    killed.push(name)
    relays.get(name)?.kill('SIGKILL')
  }
  // What arrived first of each key: the world as a receiver that deduplicates sees it.
  const seen = new Set<string>()
  const arrived = new Map<string, number[]>()
  let requests = 0
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { aggregate, nth } = JSON.parse(Buffer.concat(chunks).toString()) as { aggregate: string; nth: number }
    const key = String(request.headers['idempotency-key'])
    const name = String(request.headers['x-relay'])
    if (!seen.has(key)) {
      seen.add(key)
      arrived.set(aggregate, [...(arrived.get(aggregate) ?? []), nth])
    }
    requests++
    // It has acted; its sender dies before it hears so.
    if ((requests >= 500 && killed.length === 0) || (requests >= 900 && killed.length === 1 && !killed.includes(name))) return kill(name)
    setTimeout(() => response.writeHead(204).end(), 2)
  }
  const server = createServer((request, response) => void receive(request, response).catch(() => response.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  let ended: 'passed' | 'failed' = 'failed'
  try {
    const oncely = createOncely({ namespace: 'relay-test', store: place.store })
    const publish = oncely.operation('publish', { bind: 'transaction', policy: ['standard', { survives: 'restart' }] })
    for (let nth = 1; nth <= transactions; nth++) {
      const done = await publish.run({ principal: 'test', key: `transaction-${nth}`, input: nth }, async ({ outbox }) => {
        for (let index = 0; index < aggregates; index++)
          await outbox.send({ topic: 'numbers', aggregate: `account ${index}`, payload: { aggregate: `account ${index}`, nth } })
      })
      expect(done.status).toBe('done')
    }
    expect((await oncely.stats()).outbox).toMatchObject({ backlog: aggregates * transactions, parked: 0 })

    const { port } = server.address() as AddressInfo
    for (const name of ['one', 'two', 'three', 'four'])
      relays.set(name, fork(program, [serverUrl, place.schema, `http://127.0.0.1:${port}/`, name]))
    const ready = [...relays.values()].map((relay) => Promise.race([once(relay, 'message'), once(relay, 'exit')]))
    expect(await Promise.all(ready)).toEqual(ready.map(() => ['ready', undefined]))
    for (const relay of relays.values()) relay.send('go')
    await until('the outbox is empty', 40_000, async () => (await oncely.stats()).outbox?.backlog === 0)

    expect(killed).toHaveLength(2)
    expect(seen.size).toBe(aggregates * transactions)
    const ordered = Array.from({ length: transactions }, (_, index) => index + 1)
    for (let index = 0; index < aggregates; index++) expect(arrived.get(`account ${index}`), `account ${index}`).toEqual(ordered)
    // What the killed ones had sent, and could not say so.
    expect(requests).toBeGreaterThan(seen.size)
    ended = 'passed'
  } finally {
    for (const relay of relays.values()) relay.kill('SIGKILL')
    server.closeAllConnections()
    server.close()
    await place.close(ended)
  }
})
