import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const program = join(import.meta.dirname, '../../../../examples/.build/express-sqlite/main.js')
let folder: string
let server: ChildProcess
let url: string

beforeAll(async () => {
  if (!existsSync(program)) throw new Error(`${program} is missing; run \`npm run build\` first`)
  folder = mkdtempSync(join(tmpdir(), 'oncely-examples-'))
  await start()
})

afterAll(async () => {
  await stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('the example with Express and SQLite', () => {
  test('books a payment once, answers a repeat with the first answer, and refuses another request under the same key', async () => {
    const first = await pay('order-1', { cents: 1250 })
    expect(first).toMatchObject({ status: 201, replayed: null, body: '{"id":1,"cents":1250}' })
    expect(await pay('order-1', { cents: 1250 })).toEqual({ ...first, replayed: 'true' })
    const { status, body } = await pay('order-1', { cents: 9900 })
    expect(status).toBe(422)
    expect(JSON.parse(body)).toMatchObject({ status: 422, retryable: false })
    expect(await pay('order-2', { cents: 1250 })).toMatchObject({ status: 201, body: '{"id":2,"cents":1250}' })
  })

  test('keeps a refusal and undoes its rows', async () => {
    expect(await pay('too-much', { cents: 100_001 })).toMatchObject({ status: 402, replayed: null, body: '{"code":"declined"}' })
    expect(await pay('too-much', { cents: 100_001 })).toMatchObject({ status: 402, replayed: 'true' })
  })

  test('needs a key, and a caller', async () => {
    const { status, headers } = await send({ 'x-account': 'alice' }, { cents: 1 })
    expect(status).toBe(400)
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect((await send({ 'idempotency-key': 'nobody' }, { cents: 1 })).ok).toBe(false)
  })

  test('still knows what it did after it was killed', async () => {
    const first = await pay('before', { cents: 5 })
    await stop()
    await start()
    expect(await pay('before', { cents: 5 })).toEqual({ ...first, replayed: 'true' })
  })
})

async function start(): Promise<void> {
  server = spawn(process.execPath, [program], {
    env: { ...process.env, PORT: '0', DATABASE: join(folder, 'payments.db') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  url = await new Promise((resolve, reject) => {
    const look = (chunk: Buffer): void => {
      output += chunk
      const port = /port: (\d+)/.exec(output)?.[1]
      if (port !== undefined) resolve(`http://127.0.0.1:${port}/payments`)
    }
    server.stdout?.on('data', look)
    server.stderr?.on('data', look)
    server.once('exit', (code) => reject(new Error(`the example ended with exit code ${code}:\n${output}`)))
  })
}

async function stop(): Promise<void> {
  if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
  const gone = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await gone
}

function send(headers: Record<string, string>, payment: object): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(payment) })
}

async function pay(key: string, payment: object): Promise<{ status: number; replayed: string | null; body: string }> {
  const response = await send({ 'x-account': 'alice', 'idempotency-key': key }, payment)
  return { status: response.status, replayed: response.headers.get('idempotent-replayed'), body: await response.text() }
}
