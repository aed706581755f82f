import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { postgresLock } from 'oncely/lock/postgres'
import { fromPg } from 'oncely/transaction/pg'
import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { Lock } from '../../src/core/index.ts'
import { serverUrl } from '../store/postgres-fixture.ts'

const compiled = join(import.meta.dirname, '../../.build/test/process/lock-holder.js')

/** Another process holds the lock; this one gets it after `waitMs` at most, or fails. */
async function holder(leaseMs: number): Promise<{ child: ChildProcess; next(waitMs: number): Promise<Lock | 'busy'> }> {
  if (!existsSync(compiled)) throw new Error(`${compiled} is missing; run npm run build first.`)
  const name = `process ${randomBytes(6).toString('hex')}`
  const child = fork(compiled, [serverUrl, name, String(leaseMs)], { execArgv: ['--no-warnings'] })
  const pool = new Pool({ connectionString: serverUrl, max: 1 })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await pool.end()
  })
  const locks = postgresLock(fromPg(pool))
  expect(await once(child, 'message')).toEqual(['held', undefined])
  return { child, next: (waitMs) => locks.acquire(name, { waitMs, leaseMs: 60_000 }) }
}

test('a holder that is killed frees the lock long before its lease ends', async () => {
  const { child, next } = await holder(600_000)
  expect(await next(0)).toBe('busy')
  child.kill('SIGKILL')
  const lock = await next(10_000)
  expect(lock).not.toBe('busy')
  if (lock !== 'busy') expect(await lock.release()).toBe('released')
})

test('a holder that renews keeps the lock; stopped, it loses it with its lease, and learns so when it goes on', async () => {
  const { child, next } = await holder(1_000)
  expect(await next(2_500)).toBe('busy')
  child.kill('SIGSTOP')
  const lock = await next(10_000)
  expect(lock).not.toBe('busy')
  const learned = once(child, 'message')
  child.kill('SIGCONT')
  expect(await learned).toEqual([{ renew: 'lost' }, undefined])
  if (lock !== 'busy') expect([await lock.renew(), await lock.release()]).toEqual(['renewed', 'released'])
})
