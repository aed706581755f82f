import { createHash } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { GatewayOptions } from '../../src/gateway/gateway-options.ts'
import { certificate } from '../identity/certificate.ts'
import { BookingService } from './booking-service.ts'
import { GatewayProcess, temporaryStore } from './gateway-process.ts'
import { gatewayInstance } from './suite-gateway.ts'

/** A configuration file that is replaced as editors do it: whole. */
function configFile(text: string): { path: string; write: (text: string) => void } {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-reload-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'gateway.yaml')
  const write = (next: string): void => {
    writeFileSync(`${path}.new`, next)
    renameSync(`${path}.new`, path)
  }
  write(text)
  return { path, write }
}

const inForce = 'the new configuration is in force'
const kept = 'the configuration stays as it was'

describe('a configuration that changes', () => {
  test('is put in force when the file changes, and a running request keeps the one that it began with', async () => {
    const [first, second] = [await BookingService.start(), await BookingService.start()]
    const held: (() => void)[] = []
    const { answer } = first
    first.answer = (...given) => held.push(() => answer(...given))
    const config = configFile(`upstream: ${first.url}\nkey: optional\n`)
    const gateway = await GatewayProcess.start(undefined, ['--store', temporaryStore(), '--config', config.path])
    const running = gateway.book('a')
    await first.booked(1)
    config.write(`upstream: ${second.url}\nkey: required\n`)
    await gateway.said(inForce)
    expect((await fetch(gateway.url, { method: 'POST' })).status).toBe(400)
    expect((await gateway.book('b')).status).toBe(201)
    expect((await gateway.book('a')).status).toBe(409)
    expect([first.bookings.length, second.bookings.length]).toEqual([1, 1])
    for (const go of held) go()
    expect((await running).status).toBe(201)
    expect((await gateway.book('a')).replayed).toBe('true')
    expect([first.bookings.length, second.bookings.length]).toEqual([1, 1])
    expect(await gateway.stop()).toBe(0)
  })

  test('is not put in force where it is a bad one: the old one stays, and it is said why, without a value', async () => {
    const service = await BookingService.start()
    const config = configFile(`upstream: ${service.url}\n`)
    const gateway = await GatewayProcess.start(undefined, ['--store', temporaryStore(), '--config', config.path])
    const bad = [
      ['upstream: "ftp://me:hunter2@service"', 'upstream: '],
      ['upstream: [', 'neither YAML nor JSON'],
      [`upstream: ${service.url}\npolicyOptions: { lease: 25h }`, 'Lower the lease'],
      [`upstream: ${service.url}\npolicy: financial\npolicyOptions: { survives: failover }`, 'needs a store that survives failover'],
      [`upstream: ${service.url}\nnamespace: other`, 'needs a restart'],
      [`upstream: ${service.url}\ntlsCert: ${config.path}`, '--tls-key'],
    ] as const
    for (const [nth, [text, reason]] of bad.entries()) {
      config.write(text)
      await gateway.said(reason)
      expect(gateway.output.split(kept).length - 1, text).toBe(nth + 1)
      expect((await gateway.book(`key-${nth}`)).status, text).toBe(201)
    }
    expect(gateway.output).not.toContain('hunter2')
    config.write(`upstream: ${service.url}\nkey: required\n`)
    await gateway.said(inForce)
    expect((await fetch(gateway.url, { method: 'POST' })).status).toBe(400)
  })

  test('is read on SIGHUP, which does not end the process, and without a watch only then', async () => {
    const service = await BookingService.start()
    const config = configFile(`upstream: ${service.url}\n`)
    const gateway = await GatewayProcess.start(undefined, ['--store', temporaryStore(), '--config', config.path, '--no-watch'])
    config.write(`upstream: ${service.url}\nkey: required\n`)
    expect((await fetch(gateway.url, { method: 'POST' })).status).toBe(201)
    gateway.signal('SIGHUP')
    await gateway.said(inForce)
    expect((await fetch(gateway.url, { method: 'POST' })).status).toBe(400)
    expect(await gateway.stop()).toBe(0)
  })

  test('takes a new list of API keys, so that a key that left it counts no more', async () => {
    const service = await BookingService.start()
    const list = (key: string) => `- { principal: acme, sha256: ${createHash('sha256').update(key).digest('hex')} }\n`
    const keys = configFile(list('old'))
    const options = ['--store', temporaryStore(), '--principal', 'api-key', '--api-keys', keys.path]
    const gateway = await GatewayProcess.start(service.url, options)
    const book = async (key: string) => (await gateway.book('a', { headers: { authorization: `Bearer ${key}` } })).status
    expect(await book('old')).toBe(201)
    keys.write(list('new'))
    await gateway.said(inForce)
    expect([await book('old'), await book('new')]).toEqual([401, 201])
  })
})

describe('Gateway.reload', () => {
  const options = (service: BookingService, store = memoryStore(), more: Partial<GatewayOptions> = {}): GatewayOptions => ({
    oncely: gatewayInstance({ namespace: 'test', store, limits: { drainMs: 2_000 } }),
    upstream: service.url,
    principal: 'anonymous',
    policy: ['standard', { survives: 'nothing' }],
    ...more,
  })

  test('keeps records, and what two configurations run at once stays one effect', async () => {
    const service = await BookingService.start()
    const store = memoryStore()
    const gateway = new Gateway(options(service, store))
    const { port } = await gateway.listen(0, '127.0.0.1')
    onTestFinished(() => gateway.drain())
    const post = () => fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: { 'idempotency-key': 'a' }, body: 'x' })
    const answers = [post(), post()]
    await gateway.reload(options(service, store))
    answers.push(post(), post())
    for (const answer of answers) expect([201, 409]).toContain((await answer).status)
    expect(service.bookings.length).toBe(1)
    expect((await post()).headers.get('idempotent-replayed')).toBe('true')
  })

  test('exchanges a certificate without closing the listener, and refuses to turn TLS on or off', async () => {
    const service = await BookingService.start()
    const ca = certificate('ca', 'the CA')
    const [old, renewed] = [certificate('service', '127.0.0.1', ca), certificate('service', '127.0.0.1', ca)]
    const store = memoryStore()
    const gateway = new Gateway(options(service, store, { tls: { cert: old.cert, key: old.key } }))
    const { port } = await gateway.listen(0, '127.0.0.1')
    onTestFinished(() => gateway.drain())
    const shown = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port, ca: ca.cert }, () => {
          resolve(String(socket.getPeerX509Certificate()))
          socket.destroy()
        })
        socket.on('error', reject)
      })
    const text = (pem: string): string => pem.replaceAll(/\s/g, '')
    expect(text(await shown())).toBe(text(old.cert))
    await gateway.reload(options(service, store, { tls: { cert: renewed.cert, key: renewed.key } }))
    expect(text(await shown())).toBe(text(renewed.cert))
    await expect(gateway.reload(options(service, store))).rejects.toThrow(/restart/)
    await expect(gateway.reload(options(service, store, { tls: { cert: old.cert, key: old.key, clientCa: ca.cert } }))).rejects.toThrow(
      /restart/,
    )
    expect(text(await shown())).toBe(text(renewed.cert))
  })
})
