import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { BookingService } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'

/** Sends bytes as they are and reads until the gateway closes the connection. */
async function raw(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(text)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}

const head = (...lines: string[]): string => `POST /bookings HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`

const ambiguous: readonly (readonly [what: string, text: string])[] = [
  [
    'Content-Length and Transfer-Encoding',
    `${head('Host: a', 'Content-Length: 4', 'Transfer-Encoding: chunked')}0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n`,
  ],
  ['Transfer-Encoding and Content-Length', `${head('Host: a', 'Transfer-Encoding: chunked', 'Content-Length: 4')}0\r\n\r\n`],
  ['two Content-Lengths', `${head('Host: a', 'Content-Length: 4', 'Content-Length: 5')}abcde`],
  ['a Content-Length list', `${head('Host: a', 'Content-Length: 4, 4')}abcd`],
  ['a signed Content-Length', `${head('Host: a', 'Content-Length: +4')}abcd`],
  ['a coding that does not end in chunked', `${head('Host: a', 'Transfer-Encoding: chunked, identity')}0\r\n\r\n`],
  ['a coding of another spelling', `${head('Host: a', 'Transfer-Encoding: xchunked')}0\r\n\r\n`],
  ['a space before the colon', `${head('Host: a', 'Content-Length : 4')}abcd`],
  ['a folded line', head('Host: a', 'X-A: b\r\n Content-Length: 4')],
  ['a bare line feed', 'POST / HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcd'],
  ['a chunk size that is none', `${head('Host: a', 'Transfer-Encoding: chunked', 'Connection: close')}0x4\r\nabcd\r\n0\r\n\r\n`],
  ['two Hosts', `${head('Host: a', 'Host: b', 'Content-Length: 0')}`],
  ['no Host', head('Content-Length: 0')],
]

describe('the gateway on the wire', () => {
  test.each(ambiguous)('refuses %s and forwards nothing of it', async (_, text) => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    expect(await raw(gateway.url, text)).toMatch(/^HTTP\/1\.1 400 /)
    expect(service.bookings).toEqual([])
    expect((await gateway.book('key-1')).status).toBe(201)
  })

  test.each(['idempotency-key', 'x-account', 'authorization', 'content-length'])('does not let Connection remove %s', async (name) => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const text = head('Host: a', `Connection: close, ${name}`, 'X-Account: acme', 'Idempotency-Key: k', 'Content-Length: 2')
    expect(await raw(gateway.url, `${text}{}`)).toMatch(/^HTTP\/1\.1 400 /)
    expect(service.bookings).toEqual([])
  })

  test('fields of one connection end at the gateway, in both directions', async () => {
    const service = await BookingService.start()
    service.answer = (_, response) =>
      response.writeHead(200, { connection: 'x-hop', 'x-hop': '1', 'x-end': '2', 'proxy-authenticate': 'Basic' }).end('ok')
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const answer = await raw(
      gateway.url,
      'GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nProxy-Authorization: secret\r\nX-Kept: 2\r\n\r\n',
    )
    expect(answer).toContain('x-end: 2')
    expect(answer).not.toMatch(/x-hop|proxy-authenticate/i)
    expect(service.bookings[0]?.headers).toMatchObject({ 'x-kept': '2', 'x-forwarded-for': expect.any(String) })
    for (const name of ['x-mine', 'te', 'proxy-authorization']) expect(service.bookings[0]?.headers).not.toHaveProperty(name)
  })

  test('answers without a body keep their head', async () => {
    const service = await BookingService.start()
    service.answer = ({ method, url }, response) => {
      if (method === 'HEAD') response.writeHead(200, { 'content-length': '1234', etag: '"a"' }).end()
      else response.writeHead(url === '/204' ? 204 : 304, { etag: '"b"' }).end()
    }
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const head = await fetch(gateway.url, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length'), head.headers.get('etag')]).toEqual([200, '1234', '"a"'])
    for (const status of [204, 304]) {
      const answer = await fetch(`${gateway.url}/${status}`)
      expect([answer.status, answer.headers.get('etag'), await answer.text()]).toEqual([status, '"b"', ''])
    }
  })

  test('field values that are not ASCII pass as the bytes that they are, and several lines stay several', async () => {
    const service = await BookingService.start()
    const lines = ['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-name', Buffer.from('Zoë').toString('latin1')]
    service.answer = (_, response) => response.writeHead(201, lines).end()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const { headers } = await gateway.book('key-1', { headers: { 'x-name': Buffer.from('Zoë').toString('latin1') } })
    expect(headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(Buffer.from(headers.get('x-name') ?? '', 'latin1').toString()).toBe('Zoë')
    expect(Buffer.from(String(service.bookings[0]?.headers['x-name']), 'latin1').toString()).toBe('Zoë')
    const replay = await gateway.book('key-1', { headers: { 'x-name': Buffer.from('Zoë').toString('latin1') } })
    expect([replay.replayed, replay.headers.getSetCookie()]).toEqual(['true', []])
  })

  test('a request with more fields than Node counts by itself still has its key', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const many = Array.from({ length: 2_500 }, () => 'a:')
    const text = head('Host: a', ...many, 'X-Account: acme', 'Idempotency-Key: k', 'Connection: close', 'Content-Length: 0')
    expect(await raw(gateway.url, text)).toMatch(/^HTTP\/1\.1 201 /)
    expect(await raw(gateway.url, text)).toContain('idempotent-replayed: true')
    expect(service.bookings.length).toBe(1)
  })

  test('a request that goes in a circle is answered 508', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    service.answer = async ({ headers }, response) => {
      const round = await fetch(gateway.url, { headers: { via: String(headers.via) } })
      response.writeHead(round.status).end(await round.text())
    }
    const answer = await fetch(gateway.url)
    expect(answer.status).toBe(508)
    expect(await answer.text()).toContain('loop-detected')
    expect(service.bookings.length).toBe(1)
  })

  test('a WebSocket passes through, and what follows a refused upgrade does not', async () => {
    const service = await BookingService.start()
    service.server.on('upgrade', (incoming, socket: Duplex) => {
      if (incoming.url !== '/socket') return socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno')
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
      return socket.pipe(socket)
    })
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const headers = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': 'x', 'sec-websocket-version': '13' }
    const outgoing = request(`${gateway.url}/socket`, { headers })
    outgoing.end()
    const [, socket] = (await once(outgoing, 'upgrade')) as [unknown, Duplex]
    socket.write('hello')
    expect(String((await once(socket, 'data'))[0])).toBe('hello')
    socket.destroy()

    const upgrade = 'GET /closed HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'
    const refused = await raw(gateway.url, `${upgrade}POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`)
    expect(refused).toMatch(/^HTTP\/1\.1 403 /)
    expect(await raw(gateway.url, upgrade.replace('websocket', 'h2c'))).toMatch(/^HTTP\/1\.1 501 /)
    expect(service.bookings).toEqual([])
  })

  test('a request without a key streams both ways: its first bytes arrive before its last are sent', async () => {
    const service = await BookingService.start()
    service.server.removeAllListeners('request')
    service.server.on('request', (incoming, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      incoming.pipe(response)
    })
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const outgoing = request(`${gateway.url}/echo`, { method: 'POST' })
    outgoing.write('first')
    const [incoming] = (await once(outgoing, 'response')) as [AsyncIterable<Buffer> & NodeJS.ReadableStream]
    expect(String((await once(incoming, 'data'))[0])).toBe('first')
    outgoing.end('last')
    expect(String((await once(incoming, 'data'))[0])).toBe('last')
  })

  test('64 MB up and down without a key leave the memory of the gateway as it was', { timeout: 60_000 }, async () => {
    const service = await BookingService.start()
    service.server.removeAllListeners('request')
    service.server.on('request', (incoming, response) => void incoming.pipe(response))
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()], { NODE_OPTIONS: '--max-old-space-size=64' })
    const outgoing = request(`${gateway.url}/echo`, { method: 'POST' })
    const piece = Buffer.alloc(65_536, 'x')
    let received = 0
    const ended = once(outgoing, 'response').then(async ([incoming]) => {
      for await (const chunk of incoming as AsyncIterable<Buffer>) received += chunk.length
    })
    for (let nth = 0; nth < 1_024; nth++) if (!outgoing.write(piece)) await once(outgoing, 'drain')
    outgoing.end()
    await ended
    expect(received).toBe(1_024 * 65_536)
    expect(gateway.residentBytes).toBeLessThan(200_000_000)
  })
})
