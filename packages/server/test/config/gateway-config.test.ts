import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { gatewayConfigSchema, readGatewayConfig } from '../../src/config/gateway-config.ts'
import { oncely } from '../command/command-line.ts'
import { BookingService } from '../gateway/booking-service.ts'
import { GatewayProcess, temporaryStore } from '../gateway/gateway-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'oncely-config-'))
let files = 0

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function file(text: string): string {
  const path = join(folder, `${files++}.yaml`)
  writeFileSync(path, text)
  return path
}

describe('the configuration file', () => {
  test('has a published schema, which is the one that validates', () => {
    const published = JSON.parse(readFileSync(join(import.meta.dirname, '../../gateway.schema.json'), 'utf8'))
    expect(published).toEqual(gatewayConfigSchema())
    expect(JSON.parse(oncely('schema').out)).toEqual(published)
  })

  test('is YAML or JSON, and may be empty', () => {
    const config = { upstream: 'http://service:3000', port: 0, policyOptions: { lease: '1m', attemptsMax: 5 } }
    expect(readGatewayConfig(file('upstream: http://service:3000\nport: 0\npolicyOptions:\n  lease: 1m\n  attemptsMax: 5\n'))).toEqual(
      config,
    )
    expect(readGatewayConfig(file(JSON.stringify(config)))).toEqual(config)
    expect(readGatewayConfig(file(''))).toEqual({})
  })

  test.each([
    ['an unknown member', 'upsteam: http://a', /the file: .*upsteam/],
    ['a policy that is none', 'policy: strict', /policy: .*financial/],
    ['a route without an operation', 'routes: [{ path: /payments }]', /routes\[0\]\.operation: /],
    ['a route that is no path', 'routes: [{ path: payments, operation: pay }]', /routes\[0\]\.path: /],
    ['a port beyond its bound', 'port: 65536', /port: .*65535/],
    ['a duration without a unit that is one', 'policyOptions: { lease: soon }', /policyOptions\.lease: /],
    ['a list', '- a', /the file: /],
    ['what is no YAML', 'a: [', /neither YAML nor JSON/],
    ['an alias, which can grow without end', 'store: &a x\nnamespace: *a', /neither YAML nor JSON/],
  ])('is refused with %s, by its place', (_, text, message) => {
    expect(() => readGatewayConfig(file(text))).toThrow(message)
  })

  test('that is wrong ends the command with 2, and shows no value of it', () => {
    const { code, err } = oncely('gateway', '--config', file('store: 5\nupstream: "ftp://me:hunter2@service"'))
    expect(code).toBe(2)
    expect(err).toMatch(/^ {2}store: /m)
    expect(err).toMatch(/^ {2}upstream: /m)
    expect(err).not.toContain('hunter2')
    expect(oncely('gateway', '--config', join(folder, 'nowhere.yaml'))).toMatchObject({ code: 2, err: expect.stringContaining('ENOENT') })
  })
})

describe('routes', () => {
  test('protect each path in its own way, and what they do not say is as for all', async () => {
    const service = await BookingService.start()
    const config = file(`
principal: header:x-account
methods: [POST, PUT]
routes:
  - { path: /payments, operation: create-payment, policy: financial, key: required }
  - { path: /accounts/:id/close, operation: close-account, methods: [DELETE] }
  - { path: /orders/*, operation: order, notApplied: [409] }
`)
    const store = temporaryStore()
    const gateway = await GatewayProcess.start(service.url, ['--store', store, '--config', config])
    const send = async (method: string, path: string, key?: string) => {
      const headers = { 'x-account': 'acme', ...(key === undefined ? {} : { 'idempotency-key': key }) }
      const answer = await fetch(gateway.url + path, { method, headers })
      return [answer.status, answer.headers.get('idempotency-status')]
    }
    expect(await send('POST', '/payments')).toEqual([400, null])
    expect(await send('POST', '/%70ayments')).toEqual([400, null])
    expect(await send('POST', '/elsewhere')).toEqual([201, null])
    expect(await send('PUT', '/elsewhere', 'a')).toEqual([201, 'created'])
    expect(await send('DELETE', '/elsewhere', 'b')).toEqual([201, 'ignored'])
    expect(await send('DELETE', '/accounts/7/close', 'c')).toEqual([201, 'created'])
    expect(await send('DELETE', '/accounts/7/close', 'c')).toEqual([201, 'replayed'])
    expect(await send('DELETE', '/accounts/7%2F8/close', 'f')).toEqual([201, 'created'])
    expect(await send('DELETE', '/accounts//close', 'g')).toEqual([201, 'ignored'])
    expect(await send('DELETE', '/accounts/7/close/', 'h')).toEqual([201, 'created'])
    expect(await send('POST', '/payments', 'd')).toEqual([201, 'created'])
    service.answer = (_, response) => response.writeHead(409).end()
    expect(await send('POST', '/orders/7/cancel', 'e')).toEqual([409, null])
    expect(await send('POST', '/orders/7%0A8', 'i')).toEqual([409, null])
    expect(await send('POST', '/orders/', 'j')).toEqual([409, 'created'])
    const state = (key: string) =>
      /^(?:state|policy) +.*$/gm[Symbol.match](oncely('inspect', '--store', store, '--principal', 'acme', '--key', key).out)
    expect(state('d')).toEqual(['state      completed', 'policy     financial'])
    for (const key of ['e', 'i']) expect(state(key)).toEqual(['state      released', 'policy     standard'])
    expect(state('j')).toEqual(['state      completed', 'policy     standard'])
  })

  test('of the command line come before the file', async () => {
    const service = await BookingService.start()
    const config = file('key: required\npolicy: financial\nupstream: http://127.0.0.1:9\n')
    const gateway = await GatewayProcess.start(service.url, ['--store', temporaryStore(), '--config', config, '--key', 'optional'])
    expect((await fetch(gateway.url, { method: 'POST' })).status).toBe(201)
  })

  test.each(['/a/*/b', '/a*'])('refuse the path %s', (path) => {
    const config = file(JSON.stringify({ principal: 'anonymous', upstream: 'http://127.0.0.1:9', routes: [{ path, operation: 'a' }] }))
    const { code, err } = oncely('gateway', '--config', config, '--store', `sqlite:${join(folder, 'a.db')}`)
    expect(code).toBe(2)
    expect(err).toContain('/payments/* for all below it')
  })
})
