import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOncely } from 'oncely'
import { sqliteStore } from 'oncely/store/sqlite'
import { ManualClock } from 'oncely/testing'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { oncely } from './command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'oncely-command-'))
const path = join(folder, 'records.db')
const store = `sqlite:${path}`
const missing = `sqlite:${join(folder, 'missing.db')}`
const of = (key: string): string[] => ['--store', store, '--principal', 'acme', '--key', key]
const signed = ['--by', 'ann', '--reason', 'found in the ledger']

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Records in several states, made by the library itself. */
beforeAll(async () => {
  const opened = sqliteStore({ path })
  const instance = createOncely({ namespace: 'gateway', store: opened })
  const policy = ['standard', { lease: '1s', effectTimeout: 0 }] as const
  const pay = instance.operation('pay', { bind: 'lease', policy })
  await pay.run({ principal: 'acme', key: 'paid', input: {} }, () => ({ secret: 'answer' }))
  for (const key of ['doubt-1', 'doubt-2', 'doubt-3']) {
    const failed = pay.run({ principal: 'acme', key, input: {} }, () => Promise.reject(new Error('connection reset')))
    await expect(failed).rejects.toThrow('connection reset')
  }
  await instance.drain()
  await opened.close()
})

describe('oncely policy', () => {
  test('prints every number of each policy, or of one', () => {
    const { code, out } = oncely('policy')
    expect(code).toBe(0)
    expect(out.match(/^name .*$/gm)).toEqual([
      expect.stringContaining('financial'),
      expect.stringContaining('standard'),
      expect.stringContaining('telemetry'),
    ])
    expect(oncely('policy', 'financial').out).toMatch(/retentionMs +30 d\n/)
    expect(JSON.parse(oncely('policy', 'standard', '--json').out)).toMatchObject({
      name: 'standard',
      retentionMs: 86_400_000,
      leaseMs: 30_000,
    })
  })

  test('names the policies to who asks for another', () => {
    const { code, out, err } = oncely('policy', 'strict')
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/"strict" is unknown; the presets are financial, standard, telemetry.*ONCELY_CONFIGURATION/)
  })
})

describe('oncely migrate', () => {
  test('makes a store, and does nothing to one that is up to date', () => {
    const fresh = `sqlite:${join(folder, 'fresh.db')}`
    expect(oncely('migrate', '--store', fresh)).toMatchObject({ code: 0, out: `${fresh} is up to date\n` })
    expect(JSON.parse(oncely('migrate', '--store', fresh, '--json').out)).toEqual({ store: fresh, migrated: true })
    expect(oncely('doctor', '--store', fresh).code).toBe(0)
  })

  test('ends with 4 where there is no server, and names no password', () => {
    const { code, err, out } = oncely('migrate', '--store', 'postgres://me:hunter2@127.0.0.1:9/none')
    expect([code, out]).toEqual([4, ''])
    expect(err).toContain('ONCELY_STORE_UNAVAILABLE')
    expect(err).not.toContain('hunter2')
  })

  test.each([
    'mysql://me:hunter2@localhost/db',
    'postgres://me:ver/y@hunter2@localhost/db',
    'postgres:me:hunter2@localhost',
    'sqlite:',
    'records.db',
    'http://localhost',
  ])('refuses the URL %s and says which it takes', (url) => {
    const { code, err } = oncely('migrate', '--store', url)
    expect(code).toBe(2)
    expect(err).toMatch(/write sqlite:/)
    expect(err).not.toContain('hunter2')
  })

  test.each(['migrate', 'inspect', 'gateway'])('takes ONCELY_STORE, and the help of %s does not show it', (name) => {
    vi.stubEnv('ONCELY_STORE', 'postgres://me:hunter2@127.0.0.1:9/none')
    onTestFinished(() => void vi.unstubAllEnvs())
    const { code, out } = oncely(name, '--help')
    expect([code, out]).toEqual([0, expect.stringContaining('ONCELY_STORE')])
    expect(out).not.toContain('hunter2')
    expect(oncely('migrate').code).toBe(4)
  })
})

describe('oncely inspect', () => {
  test('shows a record and its trail, by caller and key or by id, and never its answer', () => {
    const { code, out } = oncely('inspect', ...of('paid'))
    expect(code).toBe(0)
    expect(out).toMatch(/^state +completed$/m)
    expect(out).toMatch(/^outcome +\d+ bytes$/m)
    expect(out).toMatch(/ {2}claimed {2}/)
    expect(out).not.toContain('secret')
    const id = /^id +([0-9a-f]{64})$/m.exec(out)?.[1] ?? ''
    const { record, trail } = JSON.parse(oncely('inspect', '--store', store, '--id', id, '--json').out)
    expect(record).toMatchObject({ id, state: 'completed', operation: 'pay', attempt: 1 })
    expect(trail.map(({ event }: { event: string }) => event)).toEqual(['claimed', 'completed'])
  })

  test('ends with 3 for a key that was never used, also in another namespace', () => {
    expect(oncely('inspect', ...of('never'))).toMatchObject({ code: 3, out: '' })
    expect(oncely('inspect', ...of('paid'), '--namespace', 'other').code).toBe(3)
  })

  test.each([
    ['no record', [], 'No record is named'],
    ['half of a record', ['--key', 'k'], 'No record is named'],
    ['a record twice', ['--id', 'a'.repeat(64), '--key', 'k'], 'not both'],
    ['an id that is none', ['--id', 'abc'], '--id has 3 characters'],
    ['an unknown option', ['--kye', 'k'], "unknown option '--kye'"],
  ])('refuses %s', (_, options, message) => {
    const { code, out, err } = oncely('inspect', '--store', store, ...options)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(message)
  })

  test('makes no store by looking for one', () => {
    const { code, err } = oncely('inspect', '--store', missing, '--principal', 'acme', '--key', 'k')
    expect(code).toBe(2)
    expect(err).toContain('there is no such file')
    expect(existsSync(missing.slice('sqlite:'.length))).toBe(false)
  })
})

describe('oncely resolve', () => {
  test('decides that an uncertain effect stands: retries get the answer, and a second decision changes nothing', () => {
    expect(oncely('resolve', ...of('doubt-1'), '--applied', '{"id":7}', ...signed)).toMatchObject({ code: 0, out: 'resolved\n' })
    const shown = oncely('inspect', ...of('doubt-1')).out
    expect(shown).toMatch(/^state +completed$/m)
    expect(shown).toMatch(/ann.*found in the ledger|found in the ledger/)
    const again = oncely('resolve', ...of('doubt-1'), '--not-applied', ...signed)
    expect(again.code).toBe(2)
    expect(again.err).toContain('The record is completed')
  })

  test('decides that it does not stand: the key is free, once no effect can arrive any more', async () => {
    for (;;) {
      const { code, out } = oncely('resolve', ...of('doubt-2'), '--not-applied', ...signed, '--json')
      if (code === 0) break
      expect([code, JSON.parse(out).word]).toEqual([1, 'early'])
    }
    expect(oncely('inspect', ...of('doubt-2')).out).toMatch(/^state +released$/m)
  })

  test.each([
    ['no decision', [], 'exactly one'],
    ['two decisions', ['--applied', '{}', '--not-applied'], 'exactly one'],
    ['an answer that is no JSON', ['--applied', '{id:7}', ...signed], '6 characters that are no JSON'],
    ['nobody’s decision', ['--applied', '{}'], '"by" and "reason"'],
  ])('refuses %s', (_, options, message) => {
    const { code, err } = oncely('resolve', ...of('doubt-3'), ...options)
    expect(code).toBe(2)
    expect(err).toContain(message)
    expect(oncely('inspect', ...of('doubt-3')).out).toMatch(/^state +uncertain$/m)
  })

  test('ends with 3 for a key that was never used', () => {
    expect(oncely('resolve', ...of('never'), '--not-applied', ...signed).code).toBe(3)
  })
})

describe('oncely sweep', () => {
  test('removes what has outlived its policy and nothing else', async () => {
    const swept = join(folder, 'swept.db')
    // A clock that stands still, years ago.
    const opened = sqliteStore({ path: swept, clock: new ManualClock() })
    const instance = createOncely({ namespace: 'gateway', store: opened })
    const pay = instance.operation('pay', { bind: 'lease' })
    for (const key of ['a', 'b']) await pay.run({ principal: 'acme', key, input: {} }, () => 1)
    await instance.drain()
    await opened.close()
    expect(oncely('sweep', '--store', `sqlite:${swept}`)).toMatchObject({ code: 0, out: '2 records removed\n' })
    expect(JSON.parse(oncely('sweep', '--store', store, '--json').out)).toEqual({ removed: 0 })
  })

  test('refuses a number that is none, and a store that is not there', () => {
    expect(oncely('sweep', '--store', store, '--batches', 'many')).toMatchObject({ code: 2, err: expect.stringContaining('whole number') })
    expect(oncely('sweep', '--store', missing).code).toBe(2)
  })
})

describe('oncely doctor', () => {
  test('says what the store survives and what waits for a decision', () => {
    const { code, out } = oncely('doctor', '--store', store, '--policy', 'financial', '--json')
    expect(code).toBe(0)
    const verdicts = Object.fromEntries(JSON.parse(out).map(({ check, verdict }: Record<string, string>) => [check, verdict]))
    expect(verdicts).toEqual({ store: 'ok', survives: 'ok', policy: 'ok', records: 'ok', uncertain: 'warning', quarantined: 'ok' })
    expect(oncely('doctor', '--store', store).out).toMatch(/^warning +uncertain +\d+ wait for a decision/m)
  })

  test('has no colours in a pipe', () => {
    expect(oncely('doctor', '--store', store).out).not.toContain('\u001b')
  })

  test('ends with 4 where there is no server, and with 2 for an unknown policy', () => {
    expect(oncely('doctor', '--store', 'postgres://127.0.0.1:9/none').code).toBe(4)
    expect(oncely('doctor', '--store', store, '--policy', 'strict').code).toBe(2)
  })
})

describe('oncely gateway', () => {
  test('does not start without a principal, and names the forms', () => {
    const { code, err } = oncely('gateway', '--upstream', 'http://127.0.0.1:9', '--store', missing)
    expect(code).toBe(2)
    for (const form of ['--principal', 'header:NAME', 'header:authorization', 'anonymous']) expect(err).toContain(form)
    expect(existsSync(missing.slice('sqlite:'.length))).toBe(false)
  })

  test.each([
    ['an unknown principal', ['--principal', 'cookie:sid'], 'The forms are'],
    ['an upstream that is no URL', ['--upstream', 'service:3000'], '--upstream is "service:3000"'],
    ['an upstream with credentials', ['--upstream', 'http://a:b@service'], 'has credentials'],
    ['a word for --key', ['--key', 'maybe'], '--key is "maybe"'],
    ['a method that is safe', ['--methods', 'GET'], 'GET, which is safe'],
    ['a status that is none', ['--not-applied', '99'], 'statuses from 200 to 599'],
    ['a policy option that is none', ['--policy-option', 'leash=1m'], 'policy.leash is not an option'],
    ['a lease below its bound', ['--policy-option', 'lease=10ms'], 'below the least of 1s'],
    ['a limit beyond its bound', ['--body-bytes-max', '999999999'], 'limits.bodyBytesMax is 999999999'],
    ['a time-out of nothing', ['--headers-timeout-ms', '0'], 'headersTimeoutMs is 0'],
    ['a port that is none', ['--port', 'http'], 'whole number'],
  ])('does not start with %s', (_, options, message) => {
    const { code, err, out } = oncely(
      'gateway',
      '--upstream',
      'http://127.0.0.1:9',
      '--principal',
      'anonymous',
      '--store',
      store,
      ...options,
    )
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(message)
  })
})

describe('oncely', () => {
  test('prints its commands, and refuses an unknown one', () => {
    const { code, out } = oncely('--help')
    expect(code).toBe(0)
    for (const name of ['gateway', 'migrate', 'policy', 'inspect', 'resolve', 'sweep', 'doctor']) expect(out).toContain(name)
    expect(oncely('gatway')).toMatchObject({ code: 2, err: expect.stringContaining("unknown command 'gatway'") })
  })
})
