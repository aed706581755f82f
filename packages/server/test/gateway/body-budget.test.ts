import { ConfigurationError } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { expect, onTestFinished, test } from 'vitest'
import { Gateway } from '../../src/gateway/gateway.ts'
import { gatewayInstance, listening } from './suite-gateway.ts'

/** A gateway with room for 100 bytes, before a service that answers when it is let. */
async function smallGateway() {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let arrive = (): void => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const upstream = await listening((_, response) => {
    arrive()
    void released.then(() => response.writeHead(201).end('done'))
  })
  const oncely = gatewayInstance({ namespace: 'budget', store: memoryStore(), limits: { bodyBytesMax: 80 } })
  const options = { oncely, upstream: `http://127.0.0.1:${upstream.port}`, principal: 'anonymous', heldBytesMax: 100 } as const
  const gateway = new Gateway({ ...options, policy: ['standard', { survives: 'nothing' }] })
  const { port } = await gateway.listen(0, '127.0.0.1')
  onTestFinished(async () => {
    await gateway.drain()
    await upstream.close()
  })
  const send = (key: string, body: string | ReadableStream) =>
    fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: { 'idempotency-key': key }, body, duplex: 'half' } as RequestInit)
  return { send, arrived, release }
}

test('a body beyond the bound is answered 503 before it is read, and its key is free when there is room again', async () => {
  const { send, arrived, release } = await smallGateway()
  const first = send('key-1', 'x'.repeat(80))
  await arrived
  const refused = await send('key-2', 'y'.repeat(21))
  expect([refused.status, refused.headers.get('retry-after'), refused.headers.get('connection')]).toEqual([503, '1', 'close'])
  expect(await refused.json()).toMatchObject({ retryable: true, same_key: true, safe_new_key: false })
  // One that does not say its length may be the longest.
  expect((await send('key-3', new Blob(['z']).stream())).status).toBe(503)
  const fits = send('key-4', 'w'.repeat(20))
  release()
  expect((await first).status).toBe(201)
  expect((await fits).status).toBe(201)
  expect((await send('key-2', 'y'.repeat(21))).status).toBe(201)
  expect((await send('key-2', 'y'.repeat(21))).headers.get('idempotent-replayed')).toBe('true')
})

test('a body over its own limit is 413 and takes no room', async () => {
  const { send } = await smallGateway()
  for (let nth = 0; nth < 3; nth++) expect((await send('key-1', 'x'.repeat(81))).status).toBe(413)
})

test('a bound in which no body fits is refused', () => {
  const oncely = gatewayInstance({ namespace: 'budget', store: memoryStore() })
  expect(() => new Gateway({ oncely, upstream: 'http://127.0.0.1:9', principal: 'anonymous', heldBytesMax: 10 })).toThrow(
    ConfigurationError,
  )
})
