import assert from 'node:assert/strict'
import type { FencingToken, OncelyRecord, Ownership, RecordEvent, RecordPolicy, Store } from '../../core/index.ts'
import { ageOf, formatToken, toHex, transition } from '../../core/index.ts'
import type { StoreCases, StoreHarness } from '../store-harness.ts'
import { claimRequest, newId, outcomeOf, payload, suitePolicy } from './claim-request.ts'

// Every bound is 5 s off the tens and time passes in tens of seconds, so that a server's own clock decides as the model does.
const second = 1_000
const leases = [25, 35].map((seconds) => seconds * second)
const passes = [10, 20, 30, 40, 110, 3_610, 7_210].map((seconds) => seconds * second)
const policies: readonly RecordPolicy[] = [
  { ...suitePolicy, name: 'model', retentionMs: 3_605 * second, tombstoneMs: 7_205 * second, attemptsMax: 4, effectTimeoutMs: 70 * second },
  {
    ...suitePolicy,
    name: 'model-takeover',
    retentionMs: 3_605 * second,
    tombstoneMs: 3_605 * second,
    attemptsMax: 6,
    effectTimeoutMs: 0,
    onLostLease: 'takeover',
  },
]
const payloads = [payload('a'), payload('b'), payload('a', 1), payload('a', 2, 1), { ...payload('a'), version: 2 }]
const outcomes = [outcomeOf('one'), outcomeOf('two'), outcomeOf('')]

/** Random lives of a record, which the store and `transition` must tell alike. */
export const modelCases: StoreCases = Object.fromEntries(
  [1, 2, 3, 4].map((seed) => [
    `model: random lives are those of the specification (seed ${seed})`,
    async (harness: StoreHarness) => {
      for (let life = 0; life < 10; life++) await liveOnce(harness, seeded(seed * 1_000 + life))
    },
  ]),
)

type Pick = <T>(values: readonly T[]) => T
/** What a store can be told without a transaction. */
type ModelEvent = Exclude<RecordEvent, { type: 'quarantine' }>
type Answer = { readonly word: string } | string

/** One life of 25 events on the store and on the model; fails with the events that led to the difference. */
async function liveOnce(harness: StoreHarness, pick: Pick): Promise<void> {
  const { store } = harness
  const id = newId()
  const owners: Ownership[] = []
  const story: string[] = []
  let model: OncelyRecord | undefined
  let passedMs = 0
  const step = async (event: ModelEvent): Promise<void> => {
    const { answer, token } = await tell(store, id, event)
    const nowMs = (await harness.nowMs()) + (store.capabilities.clock === 'server' ? passedMs : 0)
    const expected = transition(model, event.type === 'claim' ? { ...event, token: token ?? event.token } : event, nowMs)
    model = expected.record
    story.push(`${describe(event)} → ${wordsOf(answer)}`)
    assert.equal(
      wordsOf(answer),
      wordsOf(expected.answer),
      `the specification says ${wordsOf(expected.answer)} after:\n  ${story.join('\n  ')}`,
    )
    const absent = model === undefined || (model.state === 'completed' && ageOf(model, nowMs) === 'absent')
    assert.equal(
      stateOf(await store.read(id)),
      absent ? 'absent' : stateOf(model),
      `another state than the specification's after:\n  ${story.join('\n  ')}`,
    )
    if (typeof expected.answer === 'object' && 'ownership' in expected.answer) owners.push(expected.answer.ownership)
  }
  for (let events = 0; events < 25; events++) {
    if (pick([true, false, false])) {
      const ms = pick(passes)
      await harness.advance(ms)
      passedMs += ms
      story.push(`${ms / second} s pass`)
    }
    // Of an outcome that aged, a store may keep the bytes a while or drop them at once: only a claim is bound to say so.
    const aged =
      model?.state === 'completed' &&
      ageOf(model, (await harness.nowMs()) + (store.capabilities.clock === 'server' ? passedMs : 0)) !== 'fresh'
    await step(randomEvent(pick, id, aged ? [] : owners, model))
  }
}

function randomEvent(pick: Pick, id: Uint8Array, owners: readonly Ownership[], model: OncelyRecord | undefined): ModelEvent {
  const owner = owners.length === 0 ? undefined : pick([owners.at(-1) as Ownership, owners.at(-1) as Ownership, pick(owners)])
  const type = pick(['claim', 'claim', 'claim', 'renew', 'complete', 'release', 'release', 'seal', 'seal', 'resolve', 'resolve'] as const)
  if (type === 'claim' || owner === undefined) {
    const fresh = claimRequest(id, {
      fingerprint: pick([pick(payloads), payload('a'), payload('a'), payload('a')]),
      policy: pick(policies),
      leaseMs: pick(leases),
      begun: pick([true, false]),
      rerunnable: pick([true, false, false]),
      resolverMs: pick([0, 15 * second]),
      bind: pick(['lease', 'lease', 'lease', 'lease', 'lease', 'steps', 'transaction']),
    })
    const request = owner !== undefined && pick([true, false, false, false]) ? { ...fresh, attemptId: owner.attemptId } : fresh
    return { type: 'claim', request, token: { epoch: 0, seq: 0n } }
  }
  switch (type) {
    case 'renew':
      return { type, ownership: owner, leaseMs: pick(leases), begun: pick([true, false]) }
    case 'complete':
      return { type, ownership: owner, outcome: pick(outcomes) }
    case 'release':
      return { type, ownership: owner, declared: pick([true, false]) }
    case 'seal':
      return { type, ownership: owner, reason: 'in doubt' }
    case 'resolve': {
      const state =
        model?.state === 'quarantined'
          ? pick(['quarantined', 'quarantined', 'uncertain'] as const)
          : pick(['uncertain', 'uncertain', 'quarantined'] as const)
      const verdict = pick([{ applied: false }, { applied: false }, { applied: true, outcome: pick(outcomes) }] as const)
      return {
        type,
        resolution: { expected: { state, token: pick([model?.token ?? owner.token, owner.token]) }, verdict, by: 'model', reason: 'model' },
      }
    }
    default:
      return type satisfies never
  }
}

/** The same event as a call of the store. */
async function tell(store: Store, id: Uint8Array, event: ModelEvent): Promise<{ readonly answer: Answer; readonly token?: FencingToken }> {
  switch (event.type) {
    case 'claim': {
      const answer = await store.claim(event.request)
      return answer.word === 'acquired' ? { answer, token: answer.ownership.token } : { answer }
    }
    case 'renew':
      return { answer: await store.renew(event.ownership, { leaseMs: event.leaseMs, begun: event.begun }) }
    case 'complete':
      return { answer: await store.complete(event.ownership, event.outcome) }
    case 'release':
      return { answer: await store.release(event.ownership, { reason: 'model', declared: event.declared }) }
    case 'seal':
      return { answer: await store.seal(event.ownership, { reason: event.reason }) }
    case 'resolve':
      return { answer: await store.resolve(id, event.resolution) }
    default:
      return event satisfies never
  }
}

/** What both must agree on: everything but times, which only a handed-in clock makes equal. */
function wordsOf(answer: object | string): string {
  if (typeof answer === 'string') return answer
  const { word, ownership, attempt, begunAttempt, takeover, record, outcome, resolve, reason } = answer as Record<string, unknown> & {
    readonly ownership?: Ownership
    readonly record?: { readonly state: string; readonly attempt: number; readonly attemptId: string; readonly token: FencingToken }
    readonly outcome?: { readonly bytes: Uint8Array }
  }
  const facts = {
    ...(ownership === undefined
      ? {}
      : { token: formatToken(ownership.token), attemptId: ownership.attemptId, attempt, begunAttempt, takeover }),
    ...(record === undefined
      ? {}
      : { state: record.state, attempt: record.attempt, attemptId: record.attemptId, token: formatToken(record.token) }),
    ...(outcome === undefined ? {} : { outcome: toHex(outcome.bytes) }),
    ...(resolve === undefined ? {} : { resolve }),
    ...(word === 'unreadable' ? { reason } : {}),
  }
  return `${String(word)} ${JSON.stringify(facts)}`
}

function stateOf(record: OncelyRecord | undefined): string {
  if (record === undefined) return 'absent'
  const { state, token, attemptId, attempt, begunAttempt, operation, bind, policy } = record
  return JSON.stringify({ state, token: formatToken(token), attemptId, attempt, begunAttempt, operation, bind, policy: policy.name })
}

function describe(event: ModelEvent): string {
  switch (event.type) {
    case 'claim': {
      const { fingerprint, policy, begun, rerunnable, resolverMs, bind, attemptId } = event.request
      return `claim ${attemptId} ${JSON.stringify({ payload: payloads.findIndex(({ keyed }) => keyed === fingerprint.keyed), policy: policy.name, begun, rerunnable, resolverMs, bind })}`
    }
    case 'resolve':
      return `resolve ${event.resolution.expected.state} ${formatToken(event.resolution.expected.token)} ${event.resolution.verdict.applied ? 'applied' : 'not applied'}`
    default:
      return `${event.type} by ${event.ownership.attemptId} ${'declared' in event ? event.declared : ''}${'begun' in event ? event.begun : ''}`
  }
}

/** Picks by a small generator (mulberry32), so that a seed tells the same life again. */
function seeded(seed: number): Pick {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return (values) => values[Math.floor(next() * values.length)] as never
}
