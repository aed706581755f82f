import { expect, test } from 'vitest'
import { BookingService, unusedPort } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'

test('a refused connection frees the key: the same key books when the service is back', async () => {
  const port = await unusedPort()
  const gateway = await GatewayProcess.start(`http://127.0.0.1:${port}`, ['--store', temporaryStore()])
  const refused = await gateway.book('key-1')
  expect([refused.status, refused.problem?.type]).toEqual([502, 'https://oncely.dev/problems/upstream-unreachable'])
  expect(refused.problem).toMatchObject({ retryable: true, same_key: true })
  const service = await BookingService.start(port)
  expect(await gateway.book('key-1')).toMatchObject({ status: 201, replayed: null })
  expect(service.bookings.length).toBe(1)
})

test('a service that is too slow leaves the key uncertain, and is not asked again', async () => {
  const service = await BookingService.start()
  service.answer = () => {}
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--headers-timeout-ms', '500'])
  const first = await gateway.book('key-1')
  expect([first.status, first.problem?.type, first.problem?.operation_state]).toEqual([
    504,
    'https://oncely.dev/problems/upstream-timeout',
    'uncertain',
  ])
  expect((await gateway.book('key-1')).problem?.operation_state).toBe('uncertain')
  expect(service.bookings.length).toBe(1)
})

test.each([
  ['before its answer', false],
  ['inside its answer', true],
])('a service that resets the connection %s leaves the key uncertain', async (_, inside) => {
  const service = await BookingService.start()
  service.answer = (_booking, response) => {
    if (inside) response.writeHead(201, { 'content-length': '100' }).write('half', () => response.socket?.resetAndDestroy())
    else response.socket?.resetAndDestroy()
  }
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  const first = await gateway.book('key-1')
  expect([first.status, first.problem?.operation_state, first.problem?.safe_new_key]).toEqual([502, 'uncertain', false])
  expect((await gateway.book('key-1')).problem?.operation_state).toBe('uncertain')
  expect(service.bookings.length).toBe(1)
})

test('a status of 500 and more goes to the client and leaves the key uncertain', async () => {
  const service = await BookingService.start()
  service.answer = (_, response) => response.writeHead(500).end('broken')
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  expect(await gateway.book('key-1')).toMatchObject({ status: 500, text: 'broken' })
  expect((await gateway.book('key-1')).problem?.operation_state).toBe('uncertain')
  expect(service.bookings.length).toBe(1)
})

test('a service that says "not applied" frees the key, whatever its status', async () => {
  const service = await BookingService.start()
  const { answer } = service
  service.answer = (booking, response, nth) => {
    if (nth > 1) return answer(booking, response, nth)
    response.writeHead(503, { 'idempotency-outcome': 'not-applied' }).end('try again')
  }
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  expect(await gateway.book('key-1')).toMatchObject({ status: 503, text: 'try again' })
  expect(await gateway.book('key-1')).toMatchObject({ status: 201, replayed: null })
  const [first, second] = service.bookings
  expect(second?.headers['oncely-key']).toBe(first?.headers['oncely-key'])
  expect([first?.headers['oncely-attempt'], second?.headers['oncely-attempt']]).toEqual(['1', '2'])
})

test('a declared status frees the key, and a business refusal below 500 is kept', async () => {
  const service = await BookingService.start()
  const statuses = [429, 402]
  service.answer = (_, response, nth) => response.writeHead(statuses[nth - 1] ?? 201).end(`answer ${nth}`)
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--not-applied', '429'])
  expect((await gateway.book('key-1')).status).toBe(429)
  expect(await gateway.book('key-1')).toMatchObject({ status: 402, text: 'answer 2', replayed: null })
  expect(await gateway.book('key-1')).toMatchObject({ status: 402, text: 'answer 2', replayed: 'true' })
  expect(service.bookings.length).toBe(2)
})

test('a client that leaves does not end the attempt: its retry gets the answer', async () => {
  const service = await BookingService.start()
  const held: (() => void)[] = []
  const { answer } = service
  service.answer = (...given) => held.push(() => answer(...given))
  const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
  const gone = new AbortController()
  const lost = fetch(`${gateway.url}/bookings`, {
    method: 'POST',
    body: '{"seat":"12A"}',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'key-1', 'x-account': 'acme' },
    signal: gone.signal,
  }).catch(() => 'gone')
  await service.booked(1)
  gone.abort()
  expect(await lost).toBe('gone')
  for (const go of held) go()
  expect(await gateway.bookWhenSettled('key-1')).toMatchObject({ status: 201, replayed: 'true', text: '{"booking":1}' })
  expect(service.bookings.length).toBe(1)
})
