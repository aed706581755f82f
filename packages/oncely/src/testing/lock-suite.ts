import assert from 'node:assert/strict'
import { ConfigurationError, isOncelyError, type Lock, type LockProvider } from '../core/index.ts'
import type { LockHarness } from './lock-harness.ts'
import { type Cases, declareCases, type Skips, type TestRunner } from './runner.ts'

export interface LockSuiteOptions {
  /** `test` of vitest or of `node:test`. */
  readonly test: TestRunner
  /** A harness on which no lock is held; called once for each case, and once to learn what the engine can do. */
  readonly open: () => Promise<LockHarness>
  /** Cases that cannot hold here, by their full name, with the reason. */
  readonly skip?: Skips
}

/**
 * Declares the contract of a lock as tests: exclusion, bounded wait, renewal, the end of a lease, release by one who lost it; the order
 * of tokens where there are any, and the loss of a session where the harness can cause one. Takes a few seconds of real time.
 *
 * @throws TypeError when a skip names no case that applies here, or gives no reason.
 */
export async function lockSuite({ test, open, skip = {} }: LockSuiteOptions): Promise<void> {
  const probe = await open()
  const { token } = probe.provider.capabilities
  const cases = {
    ...alwaysCases,
    ...(token ? { ...tokenCases, ...tokenOrderCases } : noTokenCases),
    ...(probe.loseSession === undefined ? {} : sessionCases),
  }
  await probe.close()
  declareCases(test, skip, cases, async (body) => {
    const harness = await open()
    try {
      await body(harness)
    } finally {
      await harness.close()
    }
  })
}

const leaseMs = 20_000
const shortLeaseMs = 400

async function take(provider: LockProvider, name = 'report', request: { waitMs?: number; leaseMs?: number } = {}): Promise<Lock> {
  const lock = await provider.acquire(name, { waitMs: 0, leaseMs, ...request })
  assert.notEqual(lock, 'busy', `nobody else holds "${name}"`)
  return lock as Lock
}

async function busy(provider: LockProvider, name = 'report', waitMs = 0): Promise<void> {
  const lock = await provider.acquire(name, { waitMs, leaseMs })
  if (lock === 'busy') return
  await lock.release()
  assert.fail(`"${name}" is held, and was given to a second holder`)
}

function aborted({ signal }: Lock): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(signal.reason)
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true })
  })
}

const alwaysCases: Cases<LockHarness> = {
  'exclusion: a held name is busy, for the same provider and for another': async ({ provider, another }) => {
    const lock = await take(provider)
    await busy(provider)
    await busy(another())
    assert.equal(lock.signal.aborted, false)
    assert.equal(await lock.release(), 'released')
  },
  'exclusion: of a crowd exactly one gets the lock, and no two are ever inside': async ({ provider, another }) => {
    const providers = [provider, another()]
    let inside = 0
    let most = 0
    let turns = 0
    const turn = async (index: number): Promise<void> => {
      const lock = await take(providers[index % 2] as LockProvider, 'report', { waitMs: 15_000 })
      most = Math.max(most, ++inside)
      // Two round trips inside, in which another holder would be seen.
      assert.equal(await lock.renew(), 'renewed')
      assert.equal(await lock.renew(), 'renewed')
      inside--
      turns++
      assert.equal(await lock.release(), 'released')
    }
    await Promise.all(Array.from({ length: 12 }, (_, index) => turn(index)))
    assert.deepEqual({ most, turns }, { most: 1, turns: 12 })
  },
  'exclusion: names are apart, also when they differ in case or in a space': async ({ provider }) => {
    const locks = []
    for (const name of ['report', 'Report', 'report ', 'répört']) locks.push(await take(provider, name))
    for (const lock of locks) assert.equal(await lock.release(), 'released')
  },
  'names: one that is empty, too long or half a character is refused': async ({ provider }) => {
    for (const name of ['', 'x'.repeat(256), '\ud800']) {
      await assert.rejects(provider.acquire(name, { waitMs: 0, leaseMs }), ConfigurationError)
    }
  },
  'times: a wait or a lease outside its bounds is refused': async ({ provider }) => {
    for (const request of [
      { waitMs: -1, leaseMs },
      { waitMs: 0, leaseMs: 0 },
      { waitMs: 0, leaseMs: Number.NaN },
    ]) {
      await assert.rejects(provider.acquire('report', request), ConfigurationError)
    }
  },
  'wait: ends as busy after its bound, not before and not much later': async ({ provider, another }) => {
    const lock = await take(provider)
    const startedMs = performance.now()
    await busy(another(), 'report', 500)
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs >= 490 && tookMs < 5_000, `a wait of 500 ms took ${Math.round(tookMs)} ms`)
    await lock.release()
  },
  'wait: gets the lock once the holder releases it': async ({ provider, another }) => {
    const lock = await take(provider)
    const waiting = take(another(), 'report', { waitMs: 15_000 })
    assert.equal(await lock.release(), 'released')
    assert.equal(await (await waiting).release(), 'released')
  },
  'wait: an aborted signal ends it with its reason, and nothing is held': async ({ provider, another }) => {
    const lock = await take(provider)
    const controller = new AbortController()
    const waiting = another().acquire('report', { waitMs: 60_000, leaseMs, signal: controller.signal })
    const reason = new Error('the caller left')
    controller.abort(reason)
    await assert.rejects(waiting, (error) => error === reason)
    await assert.rejects(provider.acquire('other', { waitMs: 0, leaseMs, signal: controller.signal }), (error) => error === reason)
    await lock.release()
    assert.equal(await (await take(provider, 'report', { waitMs: 5_000 })).release(), 'released')
  },
  'renew: keeps the lock beyond its first lease': async ({ provider, another }) => {
    const lock = await take(provider, 'report', { leaseMs: 1_000 })
    const other = another()
    const startedMs = performance.now()
    while (performance.now() - startedMs < 2_000) {
      assert.equal(await lock.renew(), 'renewed')
      await busy(other, 'report', 100)
    }
    assert.equal(lock.signal.aborted, false)
    assert.equal(await lock.release(), 'released')
  },
  'lease: a lock that nobody renews ends; its signal says so, and a waiter gets it': async ({ provider, another }) => {
    const lock = await take(provider, 'report', { leaseMs: shortLeaseMs })
    const waiting = take(another(), 'report', { waitMs: 15_000 })
    const reason = await aborted(lock)
    assert.ok(isOncelyError(reason) && reason.code === 'ONCELY_LEASE_LOST')
    const next = await waiting
    assert.equal(await lock.renew(), 'lost')
    assert.equal(await next.release(), 'released')
  },
  'lease: one who stands still past it is told lost by the first question, before any timer, and touches nobody': async ({
    provider,
    another,
  }) => {
    const lock = await take(provider, 'report', { leaseMs: shortLeaseMs })
    const untilMs = performance.now() + shortLeaseMs + 100
    while (performance.now() < untilMs);
    assert.equal(await lock.renew(), 'lost')
    const next = await take(another(), 'report', { waitMs: 15_000 })
    assert.deepEqual([await lock.release(), lock.signal.aborted], ['lost', true])
    assert.equal(await next.release(), 'released')
  },
  'release: one who lost the lock frees nobody else of it': async ({ provider, another }) => {
    const lock = await take(provider, 'report', { leaseMs: shortLeaseMs })
    const next = await take(another(), 'report', { waitMs: 15_000 })
    assert.equal(await lock.release(), 'lost')
    await busy(provider)
    assert.equal(await next.renew(), 'renewed')
    assert.equal(await next.release(), 'released')
  },
  'release: twice answers the same and frees no later holder': async ({ provider, another }) => {
    const lock = await take(provider)
    assert.equal(await lock.release(), 'released')
    const next = await take(another())
    assert.equal(await lock.release(), 'released')
    assert.equal(await lock.renew(), 'lost')
    await busy(provider)
    assert.equal(await next.release(), 'released')
  },
  'release: leaves the signal quiet': async ({ provider }) => {
    const lock = await take(provider)
    await lock.release()
    assert.equal(lock.signal.aborted, false)
  },
}

const tokenCases: Cases<LockHarness> = {
  'token: grows with each holder of a name, after a release and after a lost lease': async ({ provider, another }) => {
    const tokens: bigint[] = []
    for (const [holder, held] of [
      [provider, leaseMs],
      [another(), shortLeaseMs],
      [provider, leaseMs],
    ] as const) {
      const lock = await take(holder, 'report', { waitMs: 15_000, leaseMs: held })
      assert.equal(typeof lock.token, 'bigint')
      tokens.push(lock.token as bigint)
      if (held === leaseMs) await lock.release()
    }
    const [first = 0n, second = 0n, third = 0n] = tokens
    assert.ok(first < second && second < third, `the tokens were ${tokens.join(', ')}`)
  },
}

const tokenOrderCases: Cases<LockHarness> = {
  'token: of those who wait, each gets a newer one than the holder before': async ({ provider, another }) => {
    const providers = [provider, another()]
    const tokens: bigint[] = []
    const turn = async (index: number): Promise<void> => {
      const lock = await take(providers[index % 2] as LockProvider, 'report', { waitMs: 15_000 })
      tokens.push(lock.token as bigint)
      assert.equal(await lock.release(), 'released')
    }
    await Promise.all(Array.from({ length: 6 }, (_, index) => turn(index)))
    const ordered = [...tokens].sort((a, b) => (a < b ? -1 : 1))
    assert.deepEqual([tokens, new Set(tokens).size], [ordered, 6])
  },
}

const noTokenCases: Cases<LockHarness> = {
  'token: is null where the engine promises none': async ({ provider }) => {
    const lock = await take(provider)
    assert.equal(lock.token, null)
    await lock.release()
  },
}

const sessionCases: Cases<LockHarness> = {
  'session: its loss aborts the signal long before the lease ends, and frees the lock': async ({ provider, another, loseSession }) => {
    const lock = await take(provider)
    const startedMs = performance.now()
    await loseSession?.()
    const reason = await aborted(lock)
    assert.ok(isOncelyError(reason) && reason.code === 'ONCELY_LEASE_LOST')
    assert.ok(performance.now() - startedMs < leaseMs / 2)
    const next = await take(another(), 'report', { waitMs: 5_000 })
    assert.equal(await lock.renew(), 'lost')
    assert.equal(await lock.release(), 'lost')
    assert.equal(await next.release(), 'released')
  },
  'session: a release that comes first after its loss says lost': async ({ provider, loseSession }) => {
    const lock = await take(provider)
    await loseSession?.()
    assert.equal(await lock.release(), 'lost')
  },
}
