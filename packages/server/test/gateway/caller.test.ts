import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as tlsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { GatewayOptions } from '../../src/gateway/gateway-options.ts'
import { oncely } from '../command/command-line.ts'
import { certificate } from '../identity/certificate.ts'
import { audience, issuer, KeyServer } from '../identity/key-server.ts'
import { BookingService } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'
import { gatewayInstance } from './suite-gateway.ts'

async function gatewayOf(options: Partial<GatewayOptions> & { principal: string }): Promise<{ service: BookingService; port: number }> {
  const service = await BookingService.start()
  const instance = gatewayInstance({ namespace: 'test', store: memoryStore(), limits: { drainMs: 100 } })
  const gateway = new Gateway({ oncely: instance, upstream: service.url, policy: ['standard', { survives: 'nothing' }], ...options })
  const { port } = await gateway.listen(0, '127.0.0.1')
  onTestFinished(() => gateway.drain())
  return { service, port }
}

const post = async (port: number, key: string, headers: [string, string][]) => {
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: [['idempotency-key', key], ...headers], body: 'x' })
  return [answer.status, answer.headers.get('idempotency-status')]
}
const bearer = (token: string): [string, string] => ['authorization', `Bearer ${token}`]
const hash = (key: string): string => createHash('sha256').update(key).digest('hex')

describe('a caller that a token proves', () => {
  const jwtOf = (keys: KeyServer) => ({ jwks: keys.url, issuer, audience })

  test('keeps its keys over refreshed tokens, and another subject has its own', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const { service, port } = await gatewayOf({ principal: 'jwt', jwt: jwtOf(keys) })
    expect(await post(port, 'a', [bearer(await sign({ jti: '1' }))])).toEqual([201, 'created'])
    expect(await post(port, 'a', [bearer(await sign({ jti: '2' }))])).toEqual([201, 'replayed'])
    expect(await post(port, 'a', [bearer(await sign({ sub: 'other' }))])).toEqual([201, 'created'])
    expect(service.bookings.length).toBe(2)
  })

  test('is asked for again before each replay: a token that ended, is forged or is there twice gets nothing', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const forger = await (await KeyServer.start()).add('one')
    const { service, port } = await gatewayOf({ principal: 'jwt', jwt: jwtOf(keys) })
    const good = await sign()
    expect(await post(port, 'a', [bearer(good)])).toEqual([201, 'created'])
    const refused = [401, null]
    expect(await post(port, 'a', [bearer(await sign({ exp: 1_000 }))])).toEqual(refused)
    expect(await post(port, 'a', [bearer(await forger())])).toEqual(refused)
    expect(await post(port, 'a', [bearer(good), bearer(await forger())])).toEqual(refused)
    expect(await post(port, 'a', [['authorization', good]])).toEqual(refused)
    expect(
      await post(port, 'a', [
        ['x-account', 'acme'],
        ['x-forwarded-user', 'acme'],
      ]),
    ).toEqual(refused)
    expect(service.bookings.length).toBe(1)
  })

  test('can be another claim, as text only, and never one of the language', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const { port } = await gatewayOf({ principal: 'jwt:account', jwt: jwtOf(keys) })
    expect(await post(port, 'a', [bearer(await sign({ account: 'acme' }))])).toEqual([201, 'created'])
    for (const account of [undefined, '', 7, ['acme'], { a: 1 }, null])
      expect(await post(port, 'a', [bearer(await sign({ account }))])).toEqual([401, null])
    const { port: other } = await gatewayOf({ principal: 'jwt:constructor', jwt: jwtOf(keys) })
    expect(await post(other, 'a', [bearer(await sign())])).toEqual([401, null])
  })

  test('names its actor by a claim of the same token', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const policy = ['standard', { survives: 'nothing', replayTo: 'actor' }] as const
    const { port } = await gatewayOf({ principal: 'jwt:account', actor: 'jwt:sub', jwt: jwtOf(keys), policy })
    const by = async (sub: string | undefined) => post(port, 'a', [bearer(await sign({ account: 'acme', sub }))])
    expect(await by('ann')).toEqual([201, 'created'])
    expect(await by('ben')).toEqual([403, 'conflict'])
    expect(await by('ann')).toEqual([201, 'replayed'])
    expect(await by(undefined)).toEqual([401, null])
  })

  test('cannot be told while the key set is away: 503, same key, and nothing is forwarded', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    keys.up = false
    const { service, port } = await gatewayOf({ principal: 'jwt', jwt: jwtOf(keys) })
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: [['idempotency-key', 'a'], bearer(await sign())] })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await answer.json()).toMatchObject({ type: 'https://oncely.dev/problems/key-set-unavailable', retryable: true, same_key: true })
    expect(service.bookings.length).toBe(0)
  })
})

describe('a caller that an API key proves', () => {
  const apiKeys = [
    { principal: 'acme', sha256: hash('key-of-acme') },
    { principal: 'acme', sha256: hash('new-key-of-acme').toUpperCase() },
    { principal: 'other', sha256: hash('key-of-other') },
  ]

  test('keeps its keys when its API key is exchanged, and another has its own', async () => {
    const { service, port } = await gatewayOf({ principal: 'api-key', apiKeys })
    expect(await post(port, 'a', [bearer('key-of-acme')])).toEqual([201, 'created'])
    expect(await post(port, 'a', [bearer('new-key-of-acme')])).toEqual([201, 'replayed'])
    expect(await post(port, 'a', [bearer('key-of-other')])).toEqual([201, 'created'])
    for (const wrong of ['key-of-acm', 'key-of-acmeX', hash('key-of-acme')])
      expect(await post(port, 'a', [bearer(wrong)])).toEqual([401, null])
    expect(service.bookings.length).toBe(2)
  })

  test('is read from a header of its own, once, which a client cannot have removed', async () => {
    const { service, port } = await gatewayOf({ principal: 'api-key:x-api-key', apiKeys })
    expect(await post(port, 'a', [['x-api-key', 'key-of-acme']])).toEqual([201, 'created'])
    expect(await post(port, 'a', [bearer('key-of-acme')])).toEqual([401, null])
    const twice = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: { 'idempotency-key': 'a', 'x-api-key': 'key-of-acme, key-of-other' },
    })
    expect(twice.status).toBe(401)
    expect(service.bookings.length).toBe(1)
  })

  test('has a key that a command makes, and whose hash alone is kept', async () => {
    const { out } = oncely('api-key', 'acme', '--json')
    const { key, entry } = JSON.parse(out) as { key: string; entry: { principal: string; sha256: string } }
    expect(entry).toEqual({ principal: 'acme', sha256: hash(key) })
    const file = fileOf('keys.yaml', `- ${JSON.stringify(entry)}\n`)
    const service = await BookingService.start()
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--principal', 'api-key', '--api-keys', file])
    expect((await gateway.book('a', { headers: { authorization: `Bearer ${key}` } })).status).toBe(201)
    expect((await gateway.book('a', { headers: { authorization: 'Bearer other' } })).status).toBe(401)
  })

  test.each([
    ['that is no hash', '[{ principal: acme, sha256: key-of-acme }]', /\[0\]\.sha256/],
    ['that is plain', '[{ principal: acme, key: key-of-acme }]', /wrong at/],
    ['that is there twice', `[{ principal: a, sha256: ${hash('x')} }, { principal: b, sha256: ${hash('x')} }]`, /twice/],
    ['of nobody', '[]', /empty/],
  ])('a list with a key %s is refused, and shows nothing of it', (_, text, message) => {
    const options = ['--upstream', 'http://127.0.0.1:9', '--principal', 'api-key', '--api-keys', fileOf('keys.yaml', text)]
    const { code, err } = oncely('gateway', '--store', temporaryStore(), ...options)
    expect(code).toBe(2)
    expect(err).toMatch(message)
    expect(err).not.toContain('key-of-acme')
  })
})

describe('a caller that a certificate proves', () => {
  const ca = certificate('ca', 'the CA')
  const server = certificate('service', '127.0.0.1', ca)
  const tls = { cert: server.cert, key: server.key, clientCa: ca.cert }

  const send = (port: number, client: { cert: string; key: string } | undefined, key = 'a') =>
    new Promise<unknown>((resolve) => {
      const headers = { 'idempotency-key': key, 'x-client-cert': 'CN=root', 'x-ssl-client-subject': 'O=acme, CN=one' }
      const options = { host: '127.0.0.1', port, method: 'POST', headers, ca: ca.cert, agent: false, ...client }
      const outgoing = tlsRequest(options, (answer) => {
        answer.resume()
        answer.on('end', () => resolve([answer.statusCode, answer.headers['idempotency-status']]))
      })
      outgoing.on('error', () => resolve('refused'))
      outgoing.end()
    })

  test('keeps its keys when its certificate is renewed, and another subject has its own', async () => {
    const { service, port } = await gatewayOf({ principal: 'mtls', tls })
    expect(await send(port, certificate('acme', 'one', ca))).toEqual([201, 'created'])
    expect(await send(port, certificate('acme', 'one', ca))).toEqual([201, 'replayed'])
    expect(await send(port, certificate('acme', 'two', ca))).toEqual([201, 'created'])
    expect(await send(port, certificate('acme\nCN=one', 'x', ca))).toEqual([201, 'created'])
    expect(service.bookings.length).toBe(3)
    expect(service.bookings[0]?.headers['x-forwarded-proto']).toBe('https')
  })

  test('is not let in with a certificate of its own making, of another CA, or with none', async () => {
    const { service, port } = await gatewayOf({ principal: 'mtls', tls })
    for (const client of [undefined, certificate('acme', 'one'), certificate('acme', 'one', certificate('ca', 'the CA'))])
      expect(await send(port, client)).toBe('refused')
    expect(service.bookings.length).toBe(0)
  })

  test('needs TLS, and a key that fits its certificate', async () => {
    await expect(gatewayOf({ principal: 'mtls' })).rejects.toThrow(/--tls-client-ca/)
    await expect(gatewayOf({ principal: 'mtls', tls: { cert: server.cert, key: server.key } })).rejects.toThrow(/--tls-client-ca/)
    await expect(gatewayOf({ principal: 'anonymous', tls: { ...tls, key: ca.key } })).rejects.toThrow(/do not go together/)
  })

  test('the command ends TLS with the files that it is given', async () => {
    const service = await BookingService.start()
    const files = ['--tls-cert', fileOf('cert.pem', server.cert), '--tls-key', fileOf('key.pem', server.key)]
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--principal', 'anonymous', ...files])
    expect(gateway.url).toMatch(/^https:/)
    expect(await send(Number(new URL(gateway.url).port), undefined)).toEqual([201, 'created'])
    expect(await send(Number(new URL(gateway.url).port), undefined)).toEqual([201, 'replayed'])
  })
})

function fileOf(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-caller-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
