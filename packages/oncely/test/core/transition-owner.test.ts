import { describe, expect, test } from 'vitest'
import { type OncelyRecord, type Ownership, transition } from '../../src/core/index.ts'
import {
  completedLife,
  Life,
  leaseMs,
  otherOutcome,
  outcome,
  policy,
  quarantinedLife,
  releasedLife,
  sealedLife,
  startMs,
} from '../support/record-life.ts'

describe('an owner', () => {
  test('renews from now on, begins once, and keeps what began first', () => {
    const life = new Life()
    const ownership = life.acquire()
    life.nowMs += 10_000
    expect(life.renew(ownership)).toBe('done')
    expect(life.record).toMatchObject({ leaseEndMs: life.nowMs + leaseMs, begunAttempt: 0 })
    expect(life.renew(ownership, true)).toBe('done')
    expect(life.renew(ownership, false)).toBe('done')
    expect(life.record?.begunAttempt).toBe(1)
  })

  test('that began in an earlier attempt is remembered by the later ones', () => {
    const life = new Life()
    life.renew(life.acquire(), true)
    life.nowMs += leaseMs
    const second = life.acquire({ rerunnable: true })
    expect(life.renew(second, true)).toBe('done')
    expect(life.record?.begunAttempt).toBe(1)
    expect(life.release(second)).toBe('begun')
    expect(life.release(second, true)).toBe('begun')
    expect(life.record?.state).toBe('running')
  })

  test('releases, with a declaration also what only its own attempt began', () => {
    const life = new Life()
    const ownership = life.acquire({ begun: true })
    expect(life.release(ownership)).toBe('begun')
    expect(life.release(ownership, true)).toBe('done')
    expect(life.record).toMatchObject({ state: 'released', begunAttempt: 0 })
    expect(life.release(ownership)).toBe('done')
  })

  test('completes once; equal bytes are done again, others in conflict', () => {
    const { life, ownership } = completedLife()
    const before = life.record
    life.nowMs += 1_000
    expect(life.complete(ownership)).toBe('done')
    expect(life.complete(ownership, otherOutcome)).toBe('conflict')
    expect(life.record).toBe(before)
  })

  test('that completes again after the outcome aged away is in conflict: nobody can tell', () => {
    const { life, ownership } = completedLife()
    life.record = { ...(life.record as OncelyRecord & { state: 'completed' }), outcome: undefined }
    expect(life.complete(ownership)).toBe('conflict')
  })

  test('takes its record out of circulation, again without a change, and only while it runs', () => {
    const life = new Life()
    const ownership = life.acquire()
    const quarantine = (proof: Ownership) =>
      transition<'quarantine'>(life.record, { type: 'quarantine', ownership: proof, reason: 'poison' }, life.nowMs)
    expect(quarantine({ ...ownership, attemptId: '00000000-0000-4000-8000-0000000000ff' })).toEqual({ record: life.record, answer: 'lost' })
    const { record, answer } = quarantine(ownership)
    expect(answer).toBe('done')
    expect(record).toMatchObject({ state: 'quarantined', reason: 'poison', token: ownership.token, quarantinedAtMs: life.nowMs })
    expect(transition<'quarantine'>(record, { type: 'quarantine', ownership, reason: 'again' }, life.nowMs)).toEqual({
      record,
      answer: 'done',
    })
    const sealed = sealedLife()
    const late = transition<'quarantine'>(sealed.life.record, { type: 'quarantine', ownership: sealed.ownership, reason: 'late' }, startMs)
    expect(late).toEqual({ record: sealed.life.record, answer: 'lost' })
  })

  test('seals, and seals again', () => {
    const { life, ownership } = sealedLife()
    const before = life.record
    life.nowMs += 1_000
    expect(life.seal(ownership)).toBe('done')
    expect(life.record).toBe(before)
  })

  test('completes an uncertain record late', () => {
    const { life, ownership } = sealedLife()
    life.nowMs += 10 * policy.tombstoneMs
    expect(life.complete(ownership)).toBe('done')
    expect(life.claim()).toMatchObject({ word: 'replay' })
  })

  test.each([
    ['completed', completedLife, { renew: 'lost', release: 'lost', seal: 'lost', complete: 'done' }],
    ['uncertain', sealedLife, { renew: 'lost', release: 'lost', seal: 'done', complete: 'done' }],
    ['quarantined', quarantinedLife, { renew: 'lost', release: 'lost', seal: 'lost', complete: 'lost' }],
    ['released', releasedLife, { renew: 'lost', release: 'done', seal: 'lost', complete: 'lost' }],
  ])('of a record that is %s', (_, make, words) => {
    const { life, ownership } = make()
    expect({
      renew: life.renew(ownership),
      release: life.release(ownership, true),
      seal: life.seal(ownership),
      complete: life.complete(ownership),
    }).toEqual(words)
  })

  test.each([
    ['an older token', (own: Ownership): Ownership => ({ ...own, token: { ...own.token, seq: own.token.seq - 1n } })],
    ['a newer token', (own: Ownership): Ownership => ({ ...own, token: { ...own.token, seq: own.token.seq + 1n } })],
    ['another epoch', (own: Ownership): Ownership => ({ ...own, token: { ...own.token, epoch: 0 } })],
    ['another attempt id', (own: Ownership): Ownership => ({ ...own, attemptId: 'another' })],
  ])('with %s has lost the record and changes nothing', (_, forge) => {
    const life = new Life()
    const forged = forge(life.acquire())
    const before = life.record
    expect([life.renew(forged, true), life.complete(forged), life.release(forged, true), life.seal(forged)]).toEqual(Array(4).fill('lost'))
    expect(life.record).toBe(before)
  })

  test('of an absent record has lost it', () => {
    const life = new Life()
    const ownership = { id: new Uint8Array(32), token: { epoch: 1, seq: 1n }, attemptId: 'a' }
    expect([life.renew(ownership), life.complete(ownership), life.release(ownership), life.seal(ownership)]).toEqual(Array(4).fill('lost'))
    expect(life.record).toBeUndefined()
  })

  test('that was overtaken stays out, also when its successor released', () => {
    const life = new Life()
    const first = life.acquire()
    life.nowMs += leaseMs
    const second = life.acquire()
    expect(life.release(second)).toBe('done')
    expect(life.complete(first)).toBe('lost')
    const third = life.acquire()
    expect([life.complete(first), life.complete(second), life.complete(third)]).toEqual(['lost', 'lost', 'done'])
  })
})

describe('a resolution', () => {
  test('that was applied completes the record with its outcome', () => {
    const { life, ownership } = sealedLife()
    expect(life.resolve({ state: 'uncertain', token: ownership.token }, { applied: true, outcome })).toEqual({ word: 'resolved' })
    expect(life.claim()).toMatchObject({ word: 'replay', outcome })
  })

  test('that was not applied waits until no effect can arrive, then frees the key', () => {
    const { life, ownership } = sealedLife()
    const expected = { state: 'uncertain', token: ownership.token } as const
    life.nowMs = startMs + leaseMs + policy.effectTimeoutMs - 1
    expect(life.resolve(expected, { applied: false })).toEqual({ word: 'early', retryAfterMs: 1 })
    life.nowMs += 1
    expect(life.resolve(expected, { applied: false })).toEqual({ word: 'resolved' })
    expect(life.record).toMatchObject({ state: 'released', begunAttempt: 0, attempt: 1 })
    expect(life.complete(ownership)).toBe('lost')
    expect(life.claim()).toMatchObject({ word: 'acquired', attempt: 2, begunAttempt: 0 })
  })

  test('of a quarantined record gives the attempts back at once', () => {
    const { life, ownership } = quarantinedLife()
    expect(life.resolve({ state: 'quarantined', token: ownership.token }, { applied: false })).toEqual({ word: 'resolved' })
    expect(life.claim()).toMatchObject({ word: 'acquired', attempt: 1 })
  })

  test('finds the record changed when state or token is another, or there is none', () => {
    const { life, ownership } = sealedLife()
    const before = life.record
    const verdict = { applied: true, outcome } as const
    expect(life.resolve({ state: 'quarantined', token: ownership.token }, verdict)).toEqual({ word: 'changed' })
    expect(life.resolve({ state: 'uncertain', token: { epoch: 1, seq: 0n } }, verdict)).toEqual({ word: 'changed' })
    expect(life.record).toBe(before)
    expect(new Life().resolve({ state: 'uncertain', token: ownership.token }, verdict)).toEqual({ word: 'changed' })
    expect(life.complete(ownership)).toBe('done')
    expect(life.resolve({ state: 'uncertain', token: ownership.token }, verdict)).toEqual({ word: 'changed' })
  })
})
