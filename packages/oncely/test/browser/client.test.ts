import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import express from 'express'
import { createOncely } from 'oncely'
import { capture, handle, reply } from 'oncely/adapter/express'
import { corsHeaders } from 'oncely/http'
import { sqliteStore } from 'oncely/store/sqlite'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Seen, tested } from './page.ts'

type Tested = { readonly tested: typeof tested }

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync']

let folder: string
let browser: Browser
let page: Page
let shop: Server
let api: Server
let stop: () => Promise<void>
let charges: string[]
let posts: number
/** Whoever waits for the next thing to happen at the API. */
const happened: (() => void)[] = []
let finish: () => void
let finished: Promise<void>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oncely-browser-'))
  const bundle = await build({
    entryPoints: [join(import.meta.dirname, 'page.ts')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
  })
  const html = `<!doctype html><title>shop</title><script type="module">${bundle.outputFiles[0]!.text}</script>`
  shop = createServer((_request, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end(html))
  await listen(shop)
  await startApi()
  browser = await chromium.launch({
    executablePath: process.env['ONCELY_TEST_CHROMIUM'] || '/usr/bin/chromium',
    args: [...flags, ...quiet],
  })
})
afterAll(async () => {
  await browser?.close()
  for (const server of [shop, api]) {
    server?.closeAllConnections()
    server?.close()
  }
  await stop?.()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  charges = []
  posts = 0
  finished = new Promise((resolve) => {
    finish = resolve
  })
  page = await browser.newPage()
  await page.goto(urlOf(shop))
})

/** A payments API of another origin, with its route, and the headers that let a page use it. */
async function startApi(): Promise<void> {
  const store = sqliteStore({ path: join(folder, 'payments.db') })
  const oncely = createOncely({ namespace: 'payments', store })
  const payment = oncely.operation('create-payment', { policy: 'standard', bind: 'lease' })
  const app = express()
  app.use((request, response, next) => {
    response.set({ 'Access-Control-Allow-Origin': urlOf(shop), 'X-Hidden': 'yes', ...corsHeaders({ allow: ['Content-Type'] }) })
    if (request.method === 'OPTIONS') return void response.status(204).end()
    posts++
    tell()
    next()
  })
  app.use(capture())
  const caller = { principal: () => 'alice', actor: () => 'alice' }
  app.post(
    '/payments',
    express.json(),
    handle(payment, caller, async ({ key }) => {
      charges.push(key)
      tell()
      await finished
      return reply(201, { charge: charges.length })
    }),
  )
  api = createServer(app)
  await listen(api)
  stop = async () => {
    await oncely.drain()
    await store.close()
  }
}

function tell(): void {
  for (const go of happened.splice(0)) go()
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => happened.push(resolve))
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function pay(store: 'localStorage' | 'indexedDb', intent: string): Promise<Seen> {
  const paid = page.evaluate(([url, ...rest]) => (globalThis as unknown as Tested).tested.pay(url, ...rest), [
    `${urlOf(api)}/payments`,
    store,
    intent,
  ] as const)
  return paid
}

describe('a page of another origin', () => {
  test.each(['localStorage', 'indexedDb'] as const)(
    'that is reloaded in the middle of a payment charges once, with its key in %s (R57, R61)',
    async (store) => {
      const lost = pay(store, `cart ${store}`).catch((error: unknown) => error)
      await until(() => charges.length === 1)
      await page.reload()
      expect(await lost).toBeInstanceOf(Error)
      const again = pay(store, `cart ${store}`)
      await until(() => posts === 2)
      finish()
      const seen = await again
      expect(seen).toMatchObject({ status: 201, body: '{"charge":1}', idempotency: { key: charges[0], replayed: true, uncertain: false } })
      expect(seen.headers).toMatchObject({ 'idempotent-replayed': 'true', 'x-hidden': null })
      expect(charges.length).toBe(1)
    },
  )

  test('that pays twice under one name after the outcome is here makes two payments (R60)', async () => {
    finish()
    const first = await pay('localStorage', 'cart 7')
    const second = await pay('localStorage', 'cart 7')
    expect([first, second].map(({ idempotency }) => idempotency.replayed)).toEqual([false, false])
    expect(new Set(charges).size).toBe(2)
  })

  test.each(['xhr', 'fetch'] as const)(
    'that pays by axios on its %s adapter, twice at once, charges once and reads what was replayed (R57, R60, R61)',
    async (adapter) => {
      const payByAxios = (): Promise<Seen> =>
        page.evaluate(([url, ...rest]) => (globalThis as unknown as Tested).tested.payWithAxios(url, ...rest), [
          `${urlOf(api)}/payments`,
          adapter,
          `cart axios ${adapter}`,
        ] as const)
      const first = payByAxios()
      await until(() => charges.length === 1)
      const second = payByAxios()
      // The duplicate learns that the first still runs, and comes again after Retry-After.
      await until(() => posts === 2)
      finish()
      const seen = await Promise.all([first, second])
      expect(seen.map(({ status, body }) => [status, body])).toEqual(Array(2).fill([201, '{"charge":1}']))
      expect(seen.map(({ idempotency }) => [idempotency.key, idempotency.replayed])).toEqual([
        [charges[0], false],
        [charges[0], true],
      ])
      expect(seen[1]?.headers).toEqual({ 'idempotent-replayed': 'true', 'idempotency-status': 'replayed', 'x-hidden': null })
      expect(seen[1]?.idempotency.attempts).toBeGreaterThan(1)
      expect(charges.length).toBe(1)
    },
  )

  test('gets one key from IndexedDB for an intent that is started several times at once (R57)', async () => {
    const keys = await page.evaluate(() => (globalThis as unknown as Tested).tested.race())
    expect(new Set(keys.slice(0, 5)).size).toBe(1)
    expect(keys[5]).toBe('f')
  })
})
