import {
  type ClaimRequest,
  type OncelyRecord,
  type Ownership,
  type RecordPolicy,
  type Resolution,
  transition,
} from '../../src/core/index.ts'
import { claimRequest } from './claim-request.ts'

export const policy: RecordPolicy = {
  name: 'test',
  retentionMs: 1_000_000,
  tombstoneMs: 3_000_000,
  attemptsMax: 3,
  onLostLease: 'uncertain',
  effectTimeoutMs: 60_000,
}
export const leaseMs = 30_000
export const startMs = 1_700_000_000_000
export const outcome = { codec: 1, bytes: Uint8Array.of(1, 2, 3), checksum: new Uint8Array(16) }
export const otherOutcome = { ...outcome, bytes: Uint8Array.of(9) }
export const digest = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
export const otherPayload = { version: 1, plain: digest(8), keyed: [{ keyId: 0, digest: digest(8) }] }

let lastSeq = 0n

/** One record and its clock; each call is one event. */
export class Life {
  record: OncelyRecord | undefined
  nowMs = startMs

  claim(own: Partial<ClaimRequest> = {}) {
    const request = claimRequest({ policy, leaseMs, ...own })
    return this.#apply(transition<'claim'>(this.record, { type: 'claim', request, token: { epoch: 1, seq: ++lastSeq } }, this.nowMs))
  }

  acquire(own: Partial<ClaimRequest> = {}): Ownership {
    const answer = this.claim(own)
    if (answer.word !== 'acquired') throw new Error(`the claim answered ${answer.word}`)
    return answer.ownership
  }

  renew(ownership: Ownership, begun = false) {
    return this.#apply(transition<'renew'>(this.record, { type: 'renew', ownership, leaseMs, begun }, this.nowMs))
  }

  complete(ownership: Ownership, stored = outcome) {
    return this.#apply(transition<'complete'>(this.record, { type: 'complete', ownership, outcome: stored }, this.nowMs))
  }

  release(ownership: Ownership, declared = false) {
    return this.#apply(transition<'release'>(this.record, { type: 'release', ownership, declared }, this.nowMs))
  }

  seal(ownership: Ownership) {
    return this.#apply(transition<'seal'>(this.record, { type: 'seal', ownership, reason: 'in doubt' }, this.nowMs))
  }

  resolve(expected: Resolution['expected'], verdict: Resolution['verdict']) {
    const resolution = { expected, verdict, by: 'operator', reason: 'looked up' }
    return this.#apply(transition<'resolve'>(this.record, { type: 'resolve', resolution }, this.nowMs))
  }

  #apply<T>({ record, answer }: { readonly record: OncelyRecord | undefined; readonly answer: T }): T {
    this.record = record
    return answer
  }
}

export function sealedLife(own: Partial<ClaimRequest> = {}): { life: Life; ownership: Ownership } {
  const life = new Life()
  const ownership = life.acquire({ begun: true, ...own })
  ended(life.seal(ownership))
  return { life, ownership }
}

export function completedLife(): { life: Life; ownership: Ownership } {
  const life = new Life()
  const ownership = life.acquire()
  ended(life.complete(ownership))
  return { life, ownership }
}

export function quarantinedLife(): { life: Life; ownership: Ownership } {
  const life = new Life()
  const ownership = life.acquire({ policy: { ...policy, attemptsMax: 1 } })
  life.nowMs += leaseMs
  if (life.claim().word !== 'quarantined') throw new Error('the claim did not quarantine')
  return { life, ownership }
}

export function startedLife(): Life {
  const life = new Life()
  life.acquire()
  return life
}

export function releasedLife(): { life: Life; ownership: Ownership } {
  const life = new Life()
  const ownership = life.acquire()
  ended(life.release(ownership))
  return { life, ownership }
}

function ended(word: string): void {
  if (word !== 'done') throw new Error(`the owner's write answered ${word}`)
}
