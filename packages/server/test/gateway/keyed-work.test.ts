import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type AttemptContext, createOncely } from 'oncely'
import { HttpRoute } from 'oncely/http'
import { memoryStore } from 'oncely/store/memory'
import { expect, onTestFinished, test } from 'vitest'
import { keyedWork } from '../../src/gateway/keyed-work.ts'
import { Upstream } from '../../src/gateway/upstream.ts'

const operation = createOncely({ namespace: 'test', store: memoryStore() }).operation('gateway', { bind: 'lease', begin: 'explicit' })
const route = new HttpRoute<never>(operation, {})

test.each(['{"seat":"12A"}', ''])('no byte of a request is sent before begin() has succeeded (body %j)', async (text) => {
  const { port, received, accepted } = await listen((socket) => socket.end('HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n'))
  const begun: { bytesBefore?: number } = {}
  const forwarded = await run(port, text, async () => {
    await accepted
    // Whatever was written before this call has arrived when a later round trip of the same socket's machine has.
    await new Promise((resolve) => setTimeout(resolve, 50))
    begun.bytesBefore = received().length
  })
  expect(begun.bytesBefore).toBe(0)
  expect(received()).toMatch(/^POST \/bookings HTTP\/1\.1\r\n/)
  expect(received().endsWith(`\r\n\r\n${text}`)).toBe(true)
  expect(forwarded.response.status).toBe(201)
})

test('a begin() that fails ends the attempt with its error, and nothing is sent', async () => {
  const { port, received } = await listen(() => {})
  const failed = new Error('the store is away')
  await expect(run(port, '{}', () => Promise.reject(failed))).rejects.toBe(failed)
  expect(received()).toBe('')
})

async function listen(answer: (socket: Socket) => void) {
  let text = ''
  let accept = (): void => {}
  const accepted = new Promise<void>((resolve) => {
    accept = resolve
  })
  const server = createServer((socket) => {
    accept()
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk
      if (text.includes('\r\n\r\n')) answer(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, received: () => text, accepted }
}

function run(port: number, text: string, begin: () => Promise<void>) {
  const timeouts = { connectTimeoutMs: 5_000, headersTimeoutMs: 5_000, bodyTimeoutMs: 5_000 }
  const upstream = new Upstream({ url: `http://127.0.0.1:${port}`, ...timeouts, connectionsMax: 1, pseudonym: 'test' })
  onTestFinished(() => upstream.close())
  const request = { method: 'POST', rawHeaders: [], headers: {}, socket: {} } as unknown as IncomingMessage
  const response = {} as ServerResponse
  const body = new TextEncoder().encode(text)
  const work = keyedWork(route, { upstream, request, response, target: '/bookings', body: () => body, clientTimeoutMs: 5_000 })
  const { signal } = new AbortController()
  return work.run({ begin, signal, record: '' } as unknown as AttemptContext, undefined, () => undefined)
}
