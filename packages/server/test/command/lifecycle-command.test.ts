import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOncely } from 'oncely'
import { sqliteStore } from 'oncely/store/sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { oncely } from './command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'oncely-lifecycle-'))
const path = join(folder, 'records.db')
const store = ['--store', `sqlite:${path}`]
const said = ['--by', 'dpo', '--reason', 'request 12']

afterAll(() => rmSync(folder, { recursive: true, force: true }))

beforeAll(async () => {
  const opened = sqliteStore({ path })
  const instance = createOncely({ namespace: 'gateway', store: opened })
  const pay = instance.operation('pay', { bind: 'lease' })
  for (const principal of ['acme', 'globex']) {
    for (const key of ['k1', 'k2']) await pay.run({ principal, key, input: {} }, () => 'paid')
  }
  await instance.drain()
  await opened.close()
})

describe('oncely erase and oncely hold', () => {
  test('erase one principal, keep what is held, and say so', () => {
    expect(oncely('hold', ...store, '--principal', 'acme', '--key', 'k1', ...said)).toMatchObject({ code: 0, out: 'held\n' })
    expect(oncely('hold', ...store, '--principal', 'acme', '--key', 'k1', ...said).out).toBe('held already\n')
    expect(JSON.parse(oncely('hold', ...store, '--list', '--json').out)).toMatchObject([
      { kind: 'record', by: 'dpo', reason: 'request 12' },
    ])
    const first = oncely('erase', ...store, '--principal', 'acme', ...said, '--json')
    expect([first.code, JSON.parse(first.out)]).toMatchObject([1, { erased: 1, held: 1, kept: 0, by: 'dpo', store: 'sqlite' }])
    expect(oncely('hold', ...store, '--principal', 'acme', '--key', 'k1', '--lift', ...said).out).toBe('lifted\n')
    expect(oncely('hold', ...store, '--list')).toMatchObject({ code: 0, out: '' })
    const second = oncely('erase', ...store, '--principal', 'acme', ...said)
    expect(second.code).toBe(0)
    expect(second.out).toMatch(/^erased +1$/m)
    expect(oncely('inspect', ...store, '--principal', 'globex', '--key', 'k1').code).toBe(0)
    expect(oncely('inspect', ...store, '--principal', 'acme', '--key', 'k1').out).toMatch(/forgotten.*dpo: request 12/)
  })

  test('need who asked, why, and for whom', () => {
    expect(oncely('erase', ...store, '--principal', 'acme')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Give --by and --reason'),
    })
    expect(oncely('erase', ...store, ...said).code).toBe(2)
    expect(oncely('hold', ...store, ...said)).toMatchObject({ code: 2, err: expect.stringContaining('No principal is named') })
  })
})

describe('oncely grants and oncely migrate --print', () => {
  const postgres = ['--store', 'postgres://nobody@127.0.0.1:1/shop?schema=payments']

  test('print SQL for the schema of the URL, without connecting', () => {
    const grants = oncely('grants', ...postgres, '--role', 'shop_app')
    expect(grants.code).toBe(0)
    expect(grants.out).toContain('GRANT SELECT ON "payments"."oncely_holds" TO "shop_app";')
    expect(oncely('grants', ...postgres, '--role', 'ops', '--use', 'operator').out).toContain(
      'GRANT SELECT, INSERT, DELETE ON "payments"."oncely_holds"',
    )
    const schema = oncely('migrate', ...postgres, '--print')
    expect(schema.out).toMatch(/^BEGIN;.*CREATE TABLE "payments"\."oncely_keys".*COMMIT;\n$/s)
  })

  test('refuse another store, use or name', () => {
    expect(oncely('grants', ...store, '--role', 'shop_app')).toMatchObject({ code: 2, err: expect.stringContaining('Only PostgreSQL') })
    expect(oncely('migrate', ...store, '--print').code).toBe(2)
    expect(oncely('grants', ...postgres, '--role', 'a"b').code).toBe(2)
    expect(oncely('grants', ...postgres, '--role', 'app', '--use', 'root').code).toBe(2)
  })
})

test('oncely stats counts what the store holds', () => {
  const { code, out } = oncely('stats', ...store, '--json')
  expect([code, JSON.parse(out)]).toMatchObject([0, { stats: { records: 2, completed: 2 } }])
  expect(oncely('stats', ...store).out).toMatch(/^records +2$/m)
})
