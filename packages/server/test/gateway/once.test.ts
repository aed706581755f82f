import { describe, expect, test } from 'vitest'
import { BookingService } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'
import { raceOnce } from './race.ts'

describe('the gateway before a service', () => {
  test('two equal requests with one key book once, and the second gets the same bytes, marked', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const first = await gateway.book('key-1')
    const second = await gateway.book('key-1')
    expect([first.status, first.replayed, first.text]).toEqual([201, null, '{"booking":1}'])
    expect([second.status, second.replayed, second.text]).toEqual([201, 'true', first.text])
    expect(second.headers.get('location')).toBe('/bookings/1')
    expect(service.bookings.length).toBe(1)
  })

  test('another body or path under the key is a mismatch, also while the first runs', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const held: (() => void)[] = []
    const { answer } = service
    service.answer = (...given) => held.push(() => answer(...given))
    const first = gateway.book('key-1')
    await service.booked(1)
    const running = await gateway.book('key-1')
    expect([running.status, running.problem?.retryable, running.problem?.same_key]).toEqual([409, true, true])
    expect(Number(running.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect((await gateway.book('key-1', { body: { seat: '1A' } })).status).toBe(422)
    for (const go of held) go()
    expect((await first).status).toBe(201)
    expect((await gateway.book('key-1', { path: '/bookings?dry=1' })).status).toBe(422)
    expect(service.bookings.length).toBe(1)
  })

  test('100 racers over two gateways book once, and each gets the result or 409', async () => {
    const service = await BookingService.start()
    const store = temporaryStore()
    const gateways = [
      await GatewayProcess.start(service.url, ['--store', store]),
      await GatewayProcess.start(service.url, ['--store', store]),
    ]
    await raceOnce(service, gateways)
  })

  test('with --actor, the answer of one actor is not given to another, and a request that names none is refused', async () => {
    const service = await BookingService.start()
    const options = ['--store', temporaryStore(), '--actor', 'header:x-user', '--policy-option', 'replayTo=actor']
    const gateway = await GatewayProcess.start(service.url, options)
    const by = (user: string) => gateway.book('key-1', { headers: { 'x-user': user } })
    const first = await by('ann')
    expect([first.status, (await by('ben')).status, (await gateway.book('key-1')).status]).toEqual([201, 403, 401])
    const again = await by('ann')
    expect([again.status, again.replayed, again.text]).toEqual([201, 'true', first.text])
    expect(service.bookings.length).toBe(1)
  })

  test('another caller with the same key and body books for itself', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    expect((await gateway.book('key-1', { account: 'acme' })).replayed).toBe(null)
    expect((await gateway.book('key-1', { account: 'other' })).replayed).toBe(null)
    expect(service.bookings.length).toBe(2)
  })

  test('a key without the header that names its caller is refused and not forwarded', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const { status, problem } = await gateway.book('key-1', { account: '' })
    expect([status, problem?.type]).toEqual([401, 'https://oncely.dev/problems/principal-missing'])
    expect(service.bookings.length).toBe(0)
  })

  test('with keys required a request without one is refused; without, it is passed on', async () => {
    const service = await BookingService.start()
    const strict = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--key', 'required'])
    const lenient = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    const post = (url: string) => fetch(`${url}/bookings`, { method: 'POST', body: 'x', headers: { 'x-account': 'acme' } })
    expect((await post(strict.url)).status).toBe(400)
    expect(service.bookings.length).toBe(0)
    expect((await post(lenient.url)).status).toBe(201)
    expect((await fetch(`${strict.url}/bookings`)).status).toBe(201)
    expect(service.bookings.map(({ method, body }) => [method, body])).toEqual([
      ['POST', 'x'],
      ['GET', ''],
    ])
  })

  test('methods that are not named pass with their key ignored', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--methods', 'POST'])
    const headers = { 'idempotency-key': 'key-1', 'x-account': 'acme' }
    const answers = [await fetch(gateway.url, { method: 'PUT', headers }), await fetch(gateway.url, { method: 'PUT', headers })]
    expect(answers.map((answer) => answer.headers.get('idempotency-status'))).toEqual(['ignored', 'ignored'])
    expect(service.bookings.length).toBe(2)
  })

  test('the service gets the derived key, the attempt and the fence, and never those of a client', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore()])
    await gateway.book('key-1', {
      headers: { 'oncely-key': 'forged', 'oncely-fence': '9:9', 'Oncely-Principal': 'root', Oncely_Fence: '9:9' },
    })
    await fetch(gateway.url, { headers: { 'oncely-fence': '9:9' } })
    const [first, second] = service.bookings
    expect(first?.headers).toMatchObject({
      'idempotency-key': 'key-1',
      'oncely-attempt': '1',
      'oncely-key': expect.stringMatching(/^[0-9a-f]{40}$/),
    })
    expect(first?.headers['oncely-fence']).toMatch(/^\d+:\d+$/)
    expect(first?.headers['oncely-fence']).not.toBe('9:9')
    for (const name of ['oncely-principal', 'oncely_fence']) expect(first?.headers).not.toHaveProperty(name)
    expect(second?.headers).not.toHaveProperty('oncely-fence')
  })

  test('an answer that is too large to keep is given whole once, and never again by running again', async () => {
    const service = await BookingService.start()
    service.answer = (_, response) => response.writeHead(201, { location: '/big' }).end('x'.repeat(300_000))
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--response-bytes-max', '100000'])
    const first = await gateway.book('big')
    const second = await gateway.book('big')
    expect([first.status, first.text.length]).toEqual([201, 300_000])
    expect([second.status, second.problem?.type]).toEqual([409, 'https://oncely.dev/problems/result-not-stored'])
    expect(second.text).toContain('"resource":"/big"')
    expect(service.bookings.length).toBe(1)
  })

  test('a body over the limit is refused before anything is forwarded', async () => {
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--body-bytes-max', '1000'])
    expect((await gateway.book('key-1', { body: 'x'.repeat(2_000) })).status).toBe(413)
    expect((await gateway.book('key-1', { body: 'small' })).status).toBe(201)
    expect(service.bookings.length).toBe(1)
  })
})
