import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { BookingService } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'

const upgrade = (protocol: string): string => `GET /socket HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ${protocol}\r\n\r\n`

/** A client that has asked for an upgrade, and keeps its side open whatever is answered. */
async function ask(url: string, protocol: string): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.write(upgrade(protocol))
  return socket
}

test('a client that resets a refused upgrade does not end the gateway', async () => {
  const service = await BookingService.start()
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  for (let nth = 0; nth < 10; nth++) {
    const socket = await ask(gateway.url, 'h2c')
    if (nth % 2 === 0) await once(socket, 'data')
    socket.resetAndDestroy()
  }
  expect((await gateway.book('key-1')).status).toBe(201)
})

test('a client that keeps its side of a refused upgrade open does not keep the gateway from ending', async () => {
  const service = await BookingService.start()
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  await once(await ask(gateway.url, 'h2c'), 'data')
  expect(await gateway.stop()).toBe(0)
})

test.each<readonly [string, (socket: Socket) => void]>([
  ['ends', (socket) => socket.end()],
  ['is reset', (socket) => socket.resetAndDestroy()],
])('a refusal of the service that %s in its middle breaks off for the client too', async (_, breakOff) => {
  const service = await BookingService.start()
  const upgrades: Socket[] = []
  service.server.on('upgrade', (_incoming, socket) => {
    upgrades.push(socket as Socket)
    socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\nhalf')
  })
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  const socket = await ask(gateway.url, 'websocket')
  let text = ''
  socket.on('data', (chunk) => (text += chunk))
  while (!text.endsWith('half')) await once(socket, 'data')
  for (const upgraded of upgrades) breakOff(upgraded)
  await once(socket, 'end')
  expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\ncontent-length: 100\r\nconnection: close\r\n\r\nhalf$/)
})
