import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ageOf, type ClaimRequest, type OncelyRecord, type Ownership, type RecordPolicy, transition } from '../../src/core/index.ts'
import { leaseRequest, newId, outcomeOf, payload, policy, sha256 } from '../support/transaction-claim.ts'
import { openPlace, type Place } from './postgres-fixture.ts'

// Bounds are 7 s off the tens and time passes in tens of seconds, so that the server's own clock decides as the model does.
const second = 1_000
const slackMs = 3 * second
const policies: readonly RecordPolicy[] = [
  { ...policy, name: 'short', retentionMs: 307 * second, tombstoneMs: 607 * second, attemptsMax: 3, effectTimeoutMs: 67 * second },
  {
    ...policy,
    name: 'takeover',
    retentionMs: 307 * second,
    tombstoneMs: 307 * second,
    attemptsMax: 5,
    effectTimeoutMs: 0,
    onLostLease: 'takeover',
  },
]
const keyed = (text: string, ...keyIds: readonly number[]): ClaimRequest['fingerprint'] => ({
  ...payload(text),
  keyed: keyIds.map((keyId) => ({ keyId, digest: sha256(`${keyId} ${text}`) })),
})
const fingerprints = [
  payload('a'),
  payload('a'),
  payload('a'),
  payload('a'),
  payload('a'),
  payload('a'),
  payload('b'),
  keyed('a', 1),
  keyed('a', 2, 1),
  { ...payload('a'), version: 2 },
]

type EventType = 'claim' | 'renew' | 'complete' | 'release' | 'seal' | 'resolve' | 'pass'

/** What is likely in each state: enough of what changes it, and some of everything else. */
const likely: Readonly<Record<OncelyRecord['state'] | 'absent', readonly EventType[]>> = {
  absent: ['claim', 'claim', 'claim', 'renew', 'complete', 'release', 'seal', 'resolve'],
  running: [
    'claim',
    'claim',
    'claim',
    'claim',
    'renew',
    'renew',
    'complete',
    'release',
    'release',
    'release',
    'seal',
    'seal',
    'resolve',
    'pass',
    'pass',
    'pass',
  ],
  uncertain: ['claim', 'claim', 'complete', 'release', 'renew', 'seal', 'resolve', 'resolve', 'resolve', 'resolve', 'pass', 'pass', 'pass'],
  quarantined: ['claim', 'claim', 'complete', 'release', 'renew', 'seal', 'resolve', 'resolve', 'resolve', 'pass'],
  released: ['claim', 'claim', 'claim', 'claim', 'release', 'complete', 'seal', 'resolve', 'pass'],
  completed: ['claim', 'claim', 'claim', 'claim', 'complete', 'complete', 'release', 'seal', 'resolve', 'pass', 'pass', 'pass'],
}

/** One event, with everything that its meaning depends on drawn beforehand. */
interface Draw {
  readonly type: number
  /** Which earlier owner acts: 0 the newest. */
  readonly owner: number
  readonly forged: 'no' | 'token' | 'attempt'
  readonly choice: number
  readonly flags: readonly [boolean, boolean, boolean]
  readonly passMs: number
}

const draws = fc.array(
  fc.record<Draw>({
    type: fc.nat({ max: 1_000 }),
    owner: fc.constantFrom(0, 0, 0, 0, 1, 2),
    forged: fc.constantFrom('no', 'no', 'no', 'no', 'no', 'no', 'no', 'no', 'token', 'attempt'),
    choice: fc.nat({ max: 1_000 }),
    flags: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
    passMs: fc.constantFrom(10, 30, 50, 50, 50, 120, 310, 610).map((seconds) => seconds * second),
  }),
  { minLength: 20, maxLength: 40 },
)

test('every answer and every record are those of the specification, whatever happens in whatever order', async () => {
  const place = await openPlace()
  await fc.assert(
    fc.asyncProperty(draws, async (events) => {
      const life = new TwinLife(place)
      for (const event of events) await life.live(event)
    }),
    { numRuns: 120, seed: 20_260_101, endOnFailure: true },
  )
  await place.close('passed')
}, 120_000)

/** One key, in the database and in the model, told the same events. */
class TwinLife {
  readonly #place: Place
  readonly #id = newId()
  readonly #owners: Ownership[] = []
  #model: OncelyRecord | undefined

  constructor(place: Place) {
    this.#place = place
  }

  async live(draw: Draw): Promise<void> {
    const type = pick(likely[this.#model?.state ?? 'absent'], draw.type)
    if (type === 'pass') {
      await this.#place.advance(draw.passMs)
      this.#model = setBack(this.#model, draw.passMs)
    } else if (type === 'claim' || this.#owners.length === 0) await this.#claim(draw)
    else await this.#write(draw, type)
    const nowMs = await this.#place.nowMs()
    const gone = this.#model?.state === 'completed' && ageOf(this.#model, nowMs) === 'absent'
    const expected = gone ? undefined : this.#model
    expect(aligned(await this.#place.store.read(this.#id), expected)).toEqual(expected)
  }

  async #claim({ choice, flags, owner, forged }: Draw): Promise<void> {
    const [begun, rerunnable, resolves] = flags
    const request = leaseRequest(this.#id, {
      fingerprint: pick(fingerprints, choice),
      policy: pick(policies, choice >> 3),
      bind: pick(['lease', 'lease', 'lease', 'steps', 'transaction'] as const, choice >> 4),
      leaseMs: pick([27, 47], choice >> 5) * second,
      operation: pick(['pay', 'pay', 'refund'], choice >> 6),
      begun,
      rerunnable,
      resolverMs: resolves ? 17 * second : 0,
      ...(forged === 'attempt' && this.#owners.length > 0 ? { attemptId: this.#owner(owner).attemptId } : {}),
    })
    const answer = await this.#place.store.claim(request)
    const token = answer.word === 'acquired' ? answer.ownership.token : { epoch: 0, seq: 0n }
    const nowMs = await this.#place.nowMs()
    const expected = transition<'claim'>(this.#model, { type: 'claim', request, token }, nowMs)
    expect(aligned(answer, expected.answer)).toEqual(expected.answer)
    this.#model = expected.record
    if (expected.answer.word === 'acquired') this.#owners.unshift(expected.answer.ownership)
  }

  async #write(draw: Draw, type: Exclude<EventType, 'claim' | 'pass'>): Promise<void> {
    const { store } = this.#place
    const ownership = forge(this.#owner(draw.owner), draw.forged)
    const [declared, begun] = draw.flags
    const outcome = outcomeOf(pick(['one', 'two', ''], draw.choice))
    const leaseMs = 27 * second
    const nowMs = await this.#place.nowMs()
    switch (type) {
      case 'renew': {
        const answer = await store.renew(ownership, { leaseMs, begun })
        return this.#same(answer, transition<'renew'>(this.#model, { type, ownership, leaseMs, begun }, nowMs))
      }
      case 'complete': {
        const answer = await store.complete(ownership, outcome)
        return this.#same(answer, transition<'complete'>(this.#model, { type, ownership, outcome }, nowMs))
      }
      case 'release': {
        const answer = await store.release(ownership, { reason: 'model', declared })
        return this.#same(answer, transition<'release'>(this.#model, { type, ownership, declared }, nowMs))
      }
      case 'seal': {
        const answer = await store.seal(ownership, { reason: 'in doubt' })
        return this.#same(answer, transition<'seal'>(this.#model, { type, ownership, reason: 'in doubt' }, nowMs))
      }
      case 'resolve': {
        const other = pick(['uncertain', 'quarantined'] as const, draw.choice)
        const state =
          draw.flags[2] || (this.#model?.state !== 'uncertain' && this.#model?.state !== 'quarantined') ? other : this.#model.state
        const expected = { state, token: forge(this.#model ?? ownership, draw.forged).token }
        const resolution = {
          expected,
          verdict: begun ? ({ applied: true, outcome } as const) : ({ applied: false } as const),
          by: 'model',
          reason: 'model',
        }
        const answer = await store.resolve(this.#id, resolution)
        return this.#same(answer, transition<'resolve'>(this.#model, { type, resolution }, nowMs))
      }
      default:
        return type satisfies never
    }
  }

  #same(answer: unknown, expected: { readonly record: OncelyRecord | undefined; readonly answer: unknown }): void {
    expect(aligned(answer, expected.answer)).toEqual(expected.answer)
    this.#model = expected.record
  }

  #owner(index: number): Ownership {
    return this.#owners[Math.min(index, this.#owners.length - 1)] as Ownership
  }
}

function forge<T extends { readonly token: Ownership['token']; readonly attemptId: string }>(owner: T, forged: Draw['forged']): T {
  if (forged === 'token') return { ...owner, token: { ...owner.token, seq: owner.token.seq + 1n } }
  return forged === 'attempt' ? { ...owner, attemptId: '00000000-0000-4000-8000-000000000000' } : owner
}

const times = [
  'createdAtMs',
  'completedAtMs',
  'leaseEndMs',
  'releasedAtMs',
  'sealedAtMs',
  'quarantinedAtMs',
  'resolverUntilMs',
  'retryAfterMs',
]

/** As the harness sets the rows back. */
function setBack(record: OncelyRecord | undefined, ms: number): OncelyRecord | undefined {
  if (record === undefined) return undefined
  const moved = Object.entries(record).map(([name, value]) => [name, times.includes(name) && value > 0 ? value - ms : value])
  return Object.fromEntries(moved) as unknown as OncelyRecord
}

/** What the store said, with every time that is near enough to the model's replaced by the model's: they were read apart. */
function aligned(actual: unknown, expected: unknown): unknown {
  if (typeof actual !== 'object' || actual === null || actual instanceof Uint8Array) return actual
  const model = (expected ?? {}) as Record<string, unknown>
  const entries = Object.entries(actual).map(([name, member]) => {
    const other = model[name]
    const near =
      times.includes(name) && typeof other === 'number' && Math.abs(member - other) <= slackMs && (member === 0) === (other === 0)
    return [name, near ? other : aligned(member, other)]
  })
  return Object.fromEntries(entries)
}

function pick<T>(values: readonly T[], index: number): T {
  return values[index % values.length] as T
}
