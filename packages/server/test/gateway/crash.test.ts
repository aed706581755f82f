import { once } from 'node:events'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { BookingService } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'

// Leases of one second, so that a test does not wait long for the end of one.
const short = ['--policy-option', 'lease=1s']

test('killed between claim and forward: nothing was sent, so the retry takes over and books once', async () => {
  const store = temporaryStore()
  // It accepts connections and never answers the TLS handshake: the claim is made, and nothing can be forwarded.
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    silent.close()
  })
  const service = await BookingService.start()
  const first = await GatewayProcess.start(`https://127.0.0.1:${(silent.address() as AddressInfo).port}`, ['--store', store, ...short])
  const lost = first.book('key-1').catch(() => 'no answer')
  await once(silent, 'connection')
  await first.kill()
  expect(await lost).toBe('no answer')
  const second = await GatewayProcess.start(service.url, ['--store', store, ...short])
  expect(await second.bookWhenSettled('key-1')).toMatchObject({ status: 201, replayed: null })
  expect(await second.book('key-1')).toMatchObject({ status: 201, replayed: 'true' })
  expect(service.bookings.map(({ headers }) => headers['oncely-attempt'])).toEqual(['2'])
})

test('killed during the call: the effect may stand, so nobody runs again and everybody is told', async () => {
  const store = temporaryStore()
  const service = await BookingService.start()
  service.answer = () => {}
  const first = await GatewayProcess.start(service.url, ['--store', store, ...short])
  const lost = first.book('key-1').catch(() => 'no answer')
  await service.booked(1)
  await first.kill()
  expect(await lost).toBe('no answer')
  const second = await GatewayProcess.start(service.url, ['--store', store, ...short])
  const answer = await second.bookWhenSettled('key-1')
  expect(answer.problem).toMatchObject({ operation_state: 'uncertain', retryable: false, safe_new_key: false })
  expect(answer.status).toBe(409)
  expect(service.bookings.length).toBe(1)
})

test('killed between the answer of the service and its record: uncertain, and never a second booking', async () => {
  const store = temporaryStore()
  const service = await BookingService.start()
  const first = await GatewayProcess.start(service.url, ['--store', store, ...short])
  const { answer } = service
  const { DatabaseSync } = createRequire(import.meta.url)('@photostructure/sqlite') as {
    DatabaseSync: new (path: string) => { exec(sql: string): void; close(): void }
  }
  const writer = new DatabaseSync(store.slice('sqlite:'.length))
  // Nobody can write to the file from the moment of the booking on.
  service.answer = (booking, response, nth) => {
    writer.exec('BEGIN IMMEDIATE')
    answer(booking, response, nth)
  }
  const lost = first.book('key-1').catch(() => 'no answer')
  await service.booked(1)
  await first.kill()
  writer.exec('ROLLBACK')
  writer.close()
  expect(await lost).toBe('no answer')
  const second = await GatewayProcess.start(service.url, ['--store', store, ...short])
  expect((await second.bookWhenSettled('key-1')).problem?.operation_state).toBe('uncertain')
  expect(service.bookings.length).toBe(1)
})

test('killed after the answer: the next gateway replays it', async () => {
  const store = temporaryStore()
  const service = await BookingService.start()
  const first = await GatewayProcess.start(service.url, ['--store', store])
  const given = await first.book('key-1')
  await first.kill()
  const second = await GatewayProcess.start(service.url, ['--store', store])
  expect(await second.book('key-1')).toMatchObject({ status: 201, replayed: 'true', text: given.text })
  expect(service.bookings.length).toBe(1)
})

test('told to stop: what runs is finished and answered, new requests are not taken, and the exit code is 0', async () => {
  const store = temporaryStore()
  const service = await BookingService.start()
  const held: (() => void)[] = []
  const { answer } = service
  service.answer = (...given) => (given[0].method === 'GET' ? answer(...given) : held.push(() => answer(...given)))
  const gateway = await GatewayProcess.start(service.url, ['--store', store])
  const running = gateway.book('key-1')
  await service.booked(1)
  const stopped = gateway.stop()
  for (;;) {
    const refused = await fetch(gateway.url).then(
      () => false,
      () => true,
    )
    if (refused) break
  }
  for (const go of held) go()
  expect(await running).toMatchObject({ status: 201, text: '{"booking":1}' })
  expect(await stopped).toBe(0)
})
