import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Lock } from '../../src/core/index.ts'
import { type LockTask, openLocks } from './lock-engine.ts'

const compiled = join(import.meta.dirname, '../../.build/test/process/lease-holder.js')

/** What holders in processes of their own must hold to, on every engine that frees a lock by time. */
export function lockProcessSuite(engine: Pick<LockTask, 'kind' | 'url'>, freedMs: number): void {
  /** Another process holds the lock; this one gets it after `waitMs` at most, or fails. */
  async function holder(leaseMs: number): Promise<{ child: ChildProcess; token: string; next(waitMs: number): Promise<Lock | 'busy'> }> {
    if (!existsSync(compiled)) throw new Error(`${compiled} is missing; run npm run build first.`)
    const name = `process ${randomBytes(6).toString('hex')}`
    const child = fork(compiled, [JSON.stringify({ ...engine, name, leaseMs })], { execArgv: ['--no-warnings'] })
    const { locks, close } = openLocks(engine)
    onTestFinished(() => {
      child.kill('SIGKILL')
      close()
    })
    const [token] = (await once(child, 'message')) as [string]
    return { child, token, next: (waitMs) => locks.acquire(name, { waitMs, leaseMs: 60_000 }) }
  }

  test('a holder that renews keeps the lock; killed, it loses it with what is left of its lease', { timeout: 40_000 }, async () => {
    const { child, token, next } = await holder(2_000)
    expect(await next(3_000)).toBe('busy')
    child.kill('SIGKILL')
    const lock = await next(freedMs)
    if (lock === 'busy') throw new TypeError('busy')
    if (lock.token !== null) expect(lock.token > BigInt(token)).toBe(true)
    expect(await lock.release()).toBe('released')
  })

  test('a holder that is stopped for longer than its lease loses it, and learns so when it goes on', { timeout: 40_000 }, async () => {
    const { child, token, next } = await holder(2_000)
    child.kill('SIGSTOP')
    const lock = await next(freedMs)
    if (lock === 'busy') throw new TypeError('busy')
    if (lock.token !== null) expect(lock.token > BigInt(token)).toBe(true)
    const learned = once(child, 'message')
    child.kill('SIGCONT')
    expect(await learned).toEqual([{ renew: 'lost' }, undefined])
    expect([await lock.renew(), await lock.release()]).toEqual(['renewed', 'released'])
  })
}
