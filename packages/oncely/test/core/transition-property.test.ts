import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ageOf,
  type ClaimAnswer,
  compareTokens,
  type FencingToken,
  type OncelyRecord,
  type Outcome,
  type Ownership,
  type RecordEvent,
  type RecordPolicy,
  sameOutcome,
  transition,
} from '../../src/core/index.ts'
import { claimRequest } from '../support/claim-request.ts'

/** One event as the generator sees it: who acts is an index into the claims that were granted so far. */
type Act =
  | { readonly act: 'pass'; readonly ms: number }
  | {
      readonly act: 'claim'
      readonly payload: number
      readonly policy: number
      readonly begun: boolean
      readonly rerunnable: boolean
      readonly resolverMs: number
      readonly bind: 'lease' | 'transaction'
      readonly again: number
    }
  | { readonly act: 'renew'; readonly who: number; readonly begun: boolean }
  | { readonly act: 'complete'; readonly who: number; readonly outcome: number }
  | { readonly act: 'release'; readonly who: number; readonly declared: boolean }
  | { readonly act: 'seal'; readonly who: number }
  | {
      readonly act: 'resolve'
      readonly who: number
      readonly state: 'uncertain' | 'quarantined'
      readonly applied: boolean
      readonly outcome: number
    }
  | {
      readonly act: 'forge'
      readonly who: number
      readonly type: 'renew' | 'complete' | 'release' | 'seal'
      readonly part: 'token' | 'attempt'
    }

const policies: readonly RecordPolicy[] = [
  { name: 'one', retentionMs: 1_000, tombstoneMs: 3_000, attemptsMax: 3, onLostLease: 'uncertain', effectTimeoutMs: 200 },
  { name: 'two', retentionMs: 500, tombstoneMs: 500, attemptsMax: 30, onLostLease: 'takeover', effectTimeoutMs: 0 },
]
const outcomes: readonly Outcome[] = [0, 1, 2].map((codec) => ({ codec, bytes: new Uint8Array(codec), checksum: new Uint8Array(16) }))
const payloadOf = (index: number): ReturnType<typeof claimRequest>['fingerprint'] => {
  const digest = new Uint8Array(32).fill(index)
  return { version: 1, plain: digest, keyed: [{ keyId: 0, digest }] }
}

const who = fc.nat({ max: 30 })
const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ act: fc.constant('pass' as const), ms: fc.constantFrom(1, 50, 99, 100, 101, 200, 500, 1_000, 3_000) }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        act: fc.constant('claim' as const),
        payload: fc.constantFrom(0, 0, 0, 0, 1),
        policy: fc.constantFrom(0, 0, 1),
        begun: fc.boolean(),
        rerunnable: fc.constantFrom(false, false, true),
        resolverMs: fc.constantFrom(0, 70),
        bind: fc.constantFrom('lease' as const, 'lease' as const, 'lease' as const, 'transaction' as const),
        again: fc.nat({ max: 60 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('renew' as const), who, begun: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('complete' as const), who, outcome: fc.nat({ max: 2 }) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('release' as const), who, declared: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('seal' as const), who }) },
    {
      weight: 2,
      arbitrary: fc.record({
        act: fc.constant('resolve' as const),
        who,
        state: fc.constantFrom('uncertain' as const, 'quarantined' as const),
        applied: fc.boolean(),
        outcome: fc.nat({ max: 2 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        act: fc.constant('forge' as const),
        who,
        type: fc.constantFrom('renew' as const, 'complete' as const, 'release' as const, 'seal' as const),
        part: fc.constantFrom('token' as const, 'attempt' as const),
      }),
    },
  ),
  { minLength: 1, maxLength: 40 },
)

interface Step {
  readonly event: RecordEvent
  readonly before: OncelyRecord | undefined
  readonly after: OncelyRecord | undefined
  readonly answer: { readonly word: string } | string
  readonly nowMs: number
  /** Claims granted before this step, oldest first. */
  readonly granted: readonly Ownership[]
}

const leaseMs = 100

/** Lives the acts on one record, with the tokens that a store would give. */
function live(story: readonly Act[], see: (step: Step) => void): void {
  const granted: Ownership[] = []
  let record: OncelyRecord | undefined
  let nowMs = 1_700_000_000_000
  let seq = 0n
  for (const act of story) {
    if (act.act === 'pass') {
      nowMs += act.ms
      continue
    }
    const event = eventOf(act, granted, { epoch: 1, seq: ++seq })
    if (event === undefined) continue
    const { record: after, answer } = transition(record, event, nowMs)
    see({ event, before: record, after, answer, nowMs, granted: [...granted] })
    const claimed = answer as ClaimAnswer
    if (event.type === 'claim' && claimed.word === 'acquired' && !granted.some((own) => sameOwner(own, claimed.ownership)))
      granted.push(claimed.ownership)
    record = after
  }
}

function eventOf(act: Exclude<Act, { act: 'pass' }>, granted: readonly Ownership[], token: FencingToken): RecordEvent | undefined {
  if (act.act === 'claim') {
    const again = granted[granted.length - 1 - act.again]
    const { begun, rerunnable, resolverMs, bind } = act
    const base = claimRequest({
      fingerprint: payloadOf(act.payload),
      policy: policies[act.policy] as RecordPolicy,
      leaseMs,
      begun,
      rerunnable,
      resolverMs,
      bind,
    })
    return { type: 'claim', request: again === undefined ? base : { ...base, attemptId: again.attemptId }, token }
  }
  const ownership = granted[granted.length - 1 - (act.who % Math.max(1, granted.length))]
  if (ownership === undefined) return
  const outcome = outcomes['outcome' in act ? act.outcome : 0] as Outcome
  switch (act.act) {
    case 'renew':
      return { type: 'renew', ownership, leaseMs, begun: act.begun }
    case 'complete':
      return { type: 'complete', ownership, outcome }
    case 'release':
      return { type: 'release', ownership, declared: act.declared }
    case 'seal':
      return { type: 'seal', ownership, reason: 'in doubt' }
    case 'resolve': {
      const verdict = act.applied ? { applied: true as const, outcome } : { applied: false as const }
      return { type: 'resolve', resolution: { expected: { state: act.state, token: ownership.token }, verdict, by: 'x', reason: 'x' } }
    }
    case 'forge': {
      const forged =
        act.part === 'token'
          ? { ...ownership, token: { epoch: 1, seq: ownership.token.seq + 1_000n } }
          : { ...ownership, attemptId: 'forged' }
      return ownerEvent(act.type, forged)
    }
    default:
      return act satisfies never
  }
}

function ownerEvent(type: 'renew' | 'complete' | 'release' | 'seal', ownership: Ownership): RecordEvent {
  switch (type) {
    case 'renew':
      return { type, ownership, leaseMs, begun: true }
    case 'complete':
      return { type, ownership, outcome: outcomes[0] as Outcome }
    case 'release':
      return { type, ownership, declared: true }
    case 'seal':
      return { type, ownership, reason: 'x' }
    default:
      return type satisfies never
  }
}

function sameOwner(a: Ownership, b: Ownership): boolean {
  return compareTokens(a.token, b.token) === 0 && a.attemptId === b.attemptId
}

function isAbsent(record: OncelyRecord | undefined, nowMs: number): boolean {
  return record === undefined || (record.state === 'completed' && ageOf(record, nowMs) === 'absent')
}

function always(see: (step: Step) => void): void {
  fc.assert(
    fc.property(acts, (story) => live(story, see)),
    { numRuns: 2_500 },
  )
}

const acquiredAnew = ({ event, before, after }: Step): boolean =>
  event.type === 'claim' && after?.state === 'running' && (before === undefined || compareTokens(before.token, after.token) !== 0)

describe('in every life of a record', () => {
  test('a write of anyone but the newest owner changes nothing', () => {
    always(({ event, before, after, answer, granted }) => {
      if (!('ownership' in event)) return
      const newest = granted.at(-1)
      if (newest !== undefined && sameOwner(event.ownership, newest)) return
      expect(answer).toBe('lost')
      expect(after).toBe(before)
    })
  })

  test('tokens never go back, and each new claim has a newer one', () => {
    always((step) => {
      const { before, after } = step
      if (before !== undefined) expect(compareTokens((after as OncelyRecord).token, before.token)).toBeGreaterThanOrEqual(0)
      if (acquiredAnew(step) && before !== undefined) expect(compareTokens((after as OncelyRecord).token, before.token)).toBeGreaterThan(0)
    })
  })

  test('nobody is granted a claim while another lease runs', () => {
    always((step) => {
      const { before, nowMs } = step
      if (before?.state === 'running' && nowMs < before.leaseEndMs) expect(acquiredAnew(step)).toBe(false)
    })
  })

  test('an outcome never changes, except by ageing', () => {
    always(({ event, before, after, nowMs }) => {
      if (before?.state !== 'completed') return
      if (isAbsent(before, nowMs) && event.type === 'claim') return expect(after?.state).toBe('running')
      expect(after).toBe(before)
    })
  })

  test('only what has ended can be claimed after any time: completed by age, released at once', () => {
    always((step) => {
      const { event, before, nowMs } = step
      if (!acquiredAnew(step) || before === undefined || event.type !== 'claim') return
      if (before.state === 'running') {
        expect(nowMs).toBeGreaterThanOrEqual(before.leaseEndMs)
        expect(before.bind).toBe('lease')
        expect(before.begunAttempt === 0 || event.request.rerunnable || before.policy.onLostLease === 'takeover').toBe(true)
        return
      }
      expect(before.state === 'released' || isAbsent(before, nowMs)).toBe(true)
    })
  })

  test('what began is never forgotten but by a proof, a verdict or a new life', () => {
    always((step) => {
      const { event, before, after, nowMs } = step
      if (before === undefined || before.begunAttempt === 0 || after?.begunAttempt === before.begunAttempt) return
      const ends =
        event.type === 'resolve' || (event.type === 'release' && event.declared) || (event.type === 'claim' && isAbsent(before, nowMs))
      expect(ends).toBe(true)
    })
  })

  test('a key is freed only when no attempt began, or its only one declares that nothing happened', () => {
    always(({ event, before, after }) => {
      if (event.type !== 'release' || after === before) return
      expect(before?.state).toBe('running')
      const begun = before?.begunAttempt ?? 0
      expect(begun === 0 || (event.declared && begun === before?.attempt)).toBe(true)
      expect(after).toMatchObject({ state: 'released', begunAttempt: 0 })
    })
  })

  test('another payload never runs, unless the key is free', () => {
    always((step) => {
      const { event, before, nowMs } = step
      if (event.type !== 'claim' || before === undefined || before.state === 'released' || isAbsent(before, nowMs)) return
      if (before.fingerprint.digest[0] === event.request.fingerprint.plain[0]) return
      expect(step.answer).toEqual({ word: 'mismatch' })
      expect(step.after).toBe(before)
    })
  })

  test('an uncertain record ends only by its newest owner or by a verdict on its token', () => {
    always(({ event, before, after, granted }) => {
      if (before?.state !== 'uncertain' || after?.state === 'uncertain') return
      if (event.type === 'complete') return expect(sameOwner(event.ownership, granted.at(-1) as Ownership)).toBe(true)
      expect(event.type).toBe('resolve')
      if (event.type === 'resolve') expect(compareTokens(event.resolution.expected.token, before.token)).toBe(0)
    })
  })

  test('the attempts stay within the policy, and each answer is true of the record after it', () => {
    always(({ event, before, after, answer, nowMs }) => {
      if (after !== undefined && event.type === 'claim')
        expect(after.attempt).toBeLessThanOrEqual(Math.max(after.policy.attemptsMax, before?.policy.attemptsMax ?? 0))
      if (typeof answer === 'string') return
      const states: Record<string, string> = {
        acquired: 'running',
        replay: 'completed',
        'in-progress': 'running',
        uncertain: 'uncertain',
        quarantined: 'quarantined',
      }
      // The claim of an attempt that was given up, arriving late.
      const late = event.type === 'claim' && before?.state === 'released' && before.attemptId === event.request.attemptId
      const state = late ? 'released' : states[answer.word]
      if (late) expect(after).toBe(before)
      if (state !== undefined) expect(after?.state).toBe(state)
      if (answer.word === 'replay') {
        const completed = after as OncelyRecord & { state: 'completed' }
        expect(ageOf(completed, nowMs)).toBe('fresh')
        expect(sameOutcome((answer as unknown as { outcome: Outcome }).outcome, completed.outcome as Outcome)).toBe(true)
      }
    })
  })
})
