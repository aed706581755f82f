import { describe, expect, test } from 'vitest'
import { type OncelyRecord, type Ownership, summarize, trailEvent } from '../../src/core/index.ts'
import { claimRequest } from '../support/claim-request.ts'
import {
  completedLife,
  digest,
  Life,
  leaseMs,
  otherPayload,
  outcome,
  policy,
  quarantinedLife,
  sealedLife,
  startedLife,
  startMs,
} from '../support/record-life.ts'

describe('a claim', () => {
  test('of an absent record acquires it and keeps what it said', () => {
    const life = new Life()
    const request = claimRequest({
      policy,
      leaseMs,
      fingerprint: { version: 1, plain: digest(7), keyed: [{ keyId: 2, digest: digest(6) }] },
    })
    expect(life.claim(request)).toMatchObject({ word: 'acquired', attempt: 1, begunAttempt: 0, takeover: false, createdAtMs: startMs })
    expect(life.record).toMatchObject({
      state: 'running',
      fingerprint: { keyId: 2, digest: digest(6) },
      leaseEndMs: startMs + leaseMs,
      policy,
    })
  })

  test('without a keyed digest keeps the plain one under key id 0', () => {
    const life = new Life()
    life.acquire({ fingerprint: { version: 1, plain: digest(7), keyed: [] } })
    expect(life.record?.fingerprint).toEqual({ version: 1, keyId: 0, digest: digest(7) })
  })

  test('of a running record is in progress until the lease ends', () => {
    const life = new Life()
    life.acquire()
    life.nowMs += leaseMs - 1
    expect(life.claim()).toEqual({ word: 'in-progress', retryAfterMs: 1 })
    life.nowMs += 1
    expect(life.claim()).toMatchObject({ word: 'acquired', takeover: true, attempt: 2 })
  })

  test('is recognised by its own attempt id, before and after the lease', () => {
    const life = new Life()
    const request = claimRequest({ policy, leaseMs })
    const first = life.acquire(request)
    const before = life.record
    for (const passedMs of [0, 2 * leaseMs]) {
      life.nowMs += passedMs
      expect(life.claim(request)).toMatchObject({ word: 'acquired', ownership: first, attempt: 1, takeover: false })
      expect(life.record).toBe(before)
    }
  })

  test('of a begun attempt whose lease ended seals it, keeping its owner', () => {
    const life = new Life()
    const ownership = life.acquire({ begun: true })
    life.nowMs += leaseMs
    expect(life.claim()).toMatchObject({ word: 'uncertain', resolve: false, record: { token: ownership.token } })
    expect(life.record).toMatchObject({ state: 'uncertain', leaseEndMs: startMs + leaseMs, sealedAtMs: life.nowMs })
    expect(life.complete(ownership)).toBe('done')
  })

  test.each([
    ['the caller may repeat it', { rerunnable: true }, policy],
    ['its policy takes over', {}, { ...policy, onLostLease: 'takeover' as const }],
  ])('of a begun attempt whose lease ended takes over when %s', (_, own, recordPolicy) => {
    const life = new Life()
    life.acquire({ begun: true, policy: recordPolicy })
    life.nowMs += leaseMs
    expect(life.claim(own)).toMatchObject({ word: 'acquired', takeover: true, begunAttempt: 1 })
  })

  test('of a visible claim bound to a transaction finds it uncertain, whatever its lease and its attempt id', () => {
    const life = new Life()
    const request = claimRequest({ policy, leaseMs, bind: 'transaction' })
    life.acquire(request)
    expect(life.claim({ ...request, resolverMs: 1_000 })).toMatchObject({ word: 'uncertain', resolve: true })
  })

  test('of a completed record replays, then expires, then finds it absent', () => {
    const { life, ownership } = completedLife()
    life.nowMs = startMs + policy.retentionMs - 1
    expect(life.claim()).toMatchObject({ word: 'replay', outcome, record: { state: 'completed', completedAtMs: startMs } })
    life.nowMs += 1
    expect(life.claim()).toMatchObject({ word: 'expired', record: { state: 'completed' } })
    life.nowMs = startMs + policy.tombstoneMs - 1
    expect(life.claim()).toMatchObject({ word: 'expired' })
    life.nowMs += 1
    expect(life.claim({ fingerprint: otherPayload })).toMatchObject({
      word: 'acquired',
      attempt: 1,
      takeover: false,
      createdAtMs: life.nowMs,
    })
    expect(life.complete(ownership)).toBe('lost')
  })

  test('of a released record acquires it for any payload', () => {
    const life = new Life()
    const first = life.acquire()
    life.release(first)
    expect(life.claim({ fingerprint: otherPayload })).toMatchObject({ word: 'acquired', attempt: 2, takeover: false, createdAtMs: startMs })
    expect(life.claim()).toEqual({ word: 'mismatch' })
  })

  test('beyond the attempts of the policy quarantines the record', () => {
    const life = new Life()
    for (let attempt = 1; attempt <= policy.attemptsMax; attempt++) life.release(life.acquire())
    expect(life.claim()).toMatchObject({ word: 'quarantined', record: { state: 'quarantined', attempt: 3 } })
    const before = life.record
    expect(life.claim()).toMatchObject({ word: 'quarantined', record: { reason: '3 attempts, the policy allows 3' } })
    expect(life.record).toBe(before)
  })

  test('of an uncertain record lets one caller resolve, and another after it gave up', () => {
    const { life } = sealedLife()
    expect(life.claim()).toMatchObject({ word: 'uncertain', resolve: false })
    expect(life.claim({ resolverMs: 5_000 })).toMatchObject({ word: 'uncertain', resolve: true })
    life.nowMs += 4_999
    expect(life.claim({ resolverMs: 5_000 })).toMatchObject({ word: 'uncertain', resolve: false })
    life.nowMs += 1
    expect(life.claim({ resolverMs: 5_000 })).toMatchObject({ word: 'uncertain', resolve: true })
  })

  test('of an uncertain record past its tombstone answers expired for ever', () => {
    const { life } = sealedLife()
    life.nowMs = startMs + policy.tombstoneMs - 1
    expect(life.claim().word).toBe('uncertain')
    for (let later = 0; later < 3; later++) {
      life.nowMs += 10 ** later * policy.tombstoneMs
      expect(life.claim({ rerunnable: true, resolverMs: 1 })).toMatchObject({ word: 'expired', record: { state: 'uncertain' } })
    }
  })

  test.each([
    ['running', () => ({ life: startedLife() })],
    ['completed', completedLife],
    ['uncertain', sealedLife],
    ['quarantined', quarantinedLife],
  ])('with another payload is a mismatch while the record is %s, and changes nothing', (_, make) => {
    const { life } = make()
    life.nowMs += 2 * leaseMs
    const before = life.record
    expect(life.claim({ fingerprint: otherPayload, rerunnable: true, resolverMs: 1 })).toEqual({ word: 'mismatch' })
    expect(life.record).toBe(before)
  })

  test('compares under the secret of the record, and not under a newer one', () => {
    const life = new Life()
    life.acquire({ fingerprint: { version: 1, plain: digest(7), keyed: [{ keyId: 1, digest: digest(1) }] } })
    const rotated = [{ keyId: 2, digest: digest(2) }]
    expect(life.claim({ fingerprint: { version: 1, plain: digest(7), keyed: [...rotated, { keyId: 1, digest: digest(1) }] } }).word).toBe(
      'in-progress',
    )
    expect(life.claim({ fingerprint: { version: 1, plain: digest(7), keyed: [...rotated, { keyId: 1, digest: digest(3) }] } }).word).toBe(
      'mismatch',
    )
    expect(life.claim({ fingerprint: { version: 1, plain: digest(7), keyed: rotated } })).toEqual({
      word: 'unreadable',
      reason: 'fingerprint-secret',
    })
  })

  test('of a record written by other fingerprint rules is unreadable', () => {
    const life = new Life()
    life.acquire()
    life.nowMs += leaseMs
    const fingerprint = { ...claimRequest().fingerprint, version: 2 }
    expect(life.claim({ fingerprint, rerunnable: true })).toEqual({ word: 'unreadable', reason: 'fingerprint-version' })
  })
})

describe('what is told of a step', () => {
  test('the summary names the reason only where there is doubt, and the time only of a completion', () => {
    const { life } = sealedLife()
    expect(summarize(life.record as OncelyRecord)).toMatchObject({ state: 'uncertain', reason: 'in doubt', completedAtMs: 0 })
    expect(summarize(completedLife().life.record as OncelyRecord)).toMatchObject({ state: 'completed', reason: '', completedAtMs: startMs })
  })

  test('the trail has a word for each change of state and none for a renewal', () => {
    const life = new Life()
    const words: (string | undefined)[] = []
    const told = (step: () => unknown): void => {
      const before = life.record
      step()
      words.push(trailEvent(before, life.record as OncelyRecord))
    }
    const request = claimRequest({ policy, leaseMs })
    told(() => life.claim(request))
    told(() => life.claim(request))
    life.nowMs += leaseMs
    told(() => life.claim(request))
    let owner: Ownership | undefined
    told(() => {
      owner = life.acquire()
    })
    told(() => life.renew(owner as Ownership))
    told(() => life.renew(owner as Ownership, true))
    told(() => life.seal(owner as Ownership))
    told(() => life.claim({ resolverMs: 1_000 }))
    told(() => life.complete(owner as Ownership))
    expect(words).toEqual(['claimed', undefined, undefined, 'taken-over', undefined, 'begun', 'uncertain', undefined, 'completed'])
  })
})
