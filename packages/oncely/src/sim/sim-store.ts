import {
  type AuditCount,
  type ClaimAnswer,
  type ClaimRequest,
  type CompleteAnswer,
  type OncelyRecord,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  type ReleaseAnswer,
  type Resolution,
  type ResolveAnswer,
  type Store,
  type StoreCapabilities,
  type StoreInfo,
  type StoreStats,
  StoreUnavailable,
  type SweepAnswer,
  type TrailEntry,
  toHex,
} from '../core/index.ts'
import type { History, Invocation } from './history.ts'
import { outcomeText, type RecordCall, type RecordReply } from './record-model.ts'
import type { SimDatabase } from './sim-database.ts'
import { asStoreError } from './sim-database-error.ts'
import type { SimNetwork } from './sim-network.ts'
import type { SimProcess } from './world.ts'

export interface SimStoreParts {
  readonly process: SimProcess
  readonly network: SimNetwork
  readonly database: SimDatabase
  /** Where every call and its answer are written down, for the checker. */
  readonly history?: History<RecordCall, RecordReply>
}

/** The store as one simulated process sees it: each call is one request over the network to the shared database. */
export class SimStore implements Store {
  readonly name = 'sim'
  readonly capabilities: StoreCapabilities = { transactional: false, clock: 'server', shared: true, seesOpenTransactions: true }
  protected readonly parts: SimStoreParts

  constructor(parts: SimStoreParts) {
    this.parts = parts
  }

  open(): Promise<StoreInfo> {
    const info: StoreInfo = {
      survives: 'failover',
      survivesBecause: 'its database is simulated',
      instanceId: '51b00000-0000-4000-8000-000000000000',
    }
    return this.ask('open', () => info)
  }

  async migrate(): Promise<void> {}

  claim(request: ClaimRequest): Promise<ClaimAnswer> {
    return this.#record('claim', request.id, { type: 'claim', request }, () => this.database.claim(request))
  }

  renew(ownership: Ownership, change: { readonly leaseMs: number; readonly begun?: boolean }): Promise<OwnerAnswer> {
    const { leaseMs, begun = false } = change
    return this.#record(begun ? 'begin' : 'renew', ownership.id, { type: 'renew', owner: ownership, begun }, () =>
      this.database.apply<'renew'>(ownership.id, { type: 'renew', ownership, leaseMs, begun }),
    )
  }

  complete(ownership: Ownership, outcome: Outcome): Promise<CompleteAnswer> {
    return this.#record('complete', ownership.id, { type: 'complete', owner: ownership, outcome: outcomeText(outcome) }, () =>
      this.database.apply<'complete'>(ownership.id, { type: 'complete', ownership, outcome }),
    )
  }

  release(ownership: Ownership, change: { readonly reason: string; readonly declared?: boolean }): Promise<ReleaseAnswer> {
    const { reason, declared = false } = change
    return this.#record('release', ownership.id, { type: 'release', owner: ownership, declared }, () =>
      this.database.apply<'release'>(ownership.id, { type: 'release', ownership, declared }, '', reason),
    )
  }

  seal(ownership: Ownership, change: { readonly reason: string }): Promise<OwnerAnswer> {
    const { reason } = change
    return this.#record('seal', ownership.id, { type: 'seal', owner: ownership }, () =>
      this.database.apply<'seal'>(ownership.id, { type: 'seal', ownership, reason }, '', reason),
    )
  }

  resolve(id: Uint8Array, resolution: Resolution): Promise<ResolveAnswer> {
    const { expected, verdict, by, reason } = resolution
    const outcome = verdict.applied ? outcomeText(verdict.outcome) : undefined
    return this.#record('resolve', id, { type: 'resolve', token: expected.token, outcome }, () =>
      this.database.apply<'resolve'>(id, { type: 'resolve', resolution }, by, reason),
    )
  }

  read(id: Uint8Array): Promise<OncelyRecord | undefined> {
    return this.ask('read', () => this.database.read(id))
  }

  forget(id: Uint8Array, change: { readonly reason: string }): Promise<boolean> {
    return this.ask('forget', () => this.database.forget(id, change.reason))
  }

  audit(counts: readonly AuditCount[]): Promise<void> {
    return this.ask('audit', () => this.database.audit(counts))
  }

  trail(id: Uint8Array): Promise<readonly TrailEntry[]> {
    return this.ask('trail', () => this.database.trail(id))
  }

  sweep(limits: { readonly batchMax: number }): Promise<SweepAnswer> {
    return this.ask('sweep', () => ({ removed: this.database.sweep(limits.batchMax) }))
  }

  stats(): Promise<StoreStats> {
    return this.ask('stats', () => this.database.stats())
  }

  async close(): Promise<void> {}

  protected get database(): SimDatabase {
    return this.parts.database
  }

  protected ask<T>(label: string, serve: () => T): Promise<T> {
    return this.parts.network.request(this.parts.process, {
      label,
      serve: () => {
        try {
          return serve()
        } catch (error) {
          throw asStoreError(error)
        }
      },
      lost: unavailable,
    })
  }

  async #record<T extends { readonly word: string } | string>(label: string, id: Uint8Array, call: RecordCall, serve: () => T): Promise<T> {
    const invocation: Invocation<RecordReply> | undefined = this.parts.history?.invoke(toHex(id), call)
    // The world knows which lost requests never arrived, which spares the checker to try what they might have done.
    invocation?.fail()
    const answer = await this.ask(`${label} ${toHex(id).slice(0, 6)}`, () => {
      invocation?.reached()
      return serve()
    })
    invocation?.ok(replyOf(answer))
    return answer
  }
}

function unavailable(applied: 'no' | 'unknown'): StoreUnavailable {
  return new StoreUnavailable(applied === 'no' ? 'The database refused the connection.' : 'The connection to the database was reset.', {
    applied,
  })
}

/** An answer as the history keeps it. */
export function replyOf(answer: string | { readonly word: string }): RecordReply {
  if (typeof answer === 'string') return { word: answer }
  const claim = answer as ClaimAnswer
  if (claim.word === 'acquired') return { word: claim.word, token: claim.ownership.token }
  if (claim.word === 'replay') return { word: claim.word, outcome: outcomeText(claim.outcome) }
  return { word: answer.word }
}
