import type { BudgetOptions } from './budget.ts'
import type { Cache } from './cache.ts'
import type { Cipher } from './cipher.ts'
import type { Clock } from './clock.ts'
import type { NetworkWatch } from './engine-parts.ts'
import type { EventSink } from './event.ts'
import type { Hasher } from './hasher.ts'
import type { Limits } from './limits.ts'
import type { Phase } from './operation.ts'
import type { OutboxSink, RelayOptions, StartRelay } from './outbox.ts'
import type { Random } from './random.ts'
import type { CompleterOptions, StepRuntime } from './step-operation.ts'
import type { Store } from './store.ts'
import type { TransactionalStore } from './transaction.ts'

/** What an instance is made of. One instance a process and namespace. */
export interface OncelyOptions<S extends Store = Store> {
  /** Keeps the records of one application apart from those of others in the same store; part of every record's id. */
  readonly namespace: string
  readonly store: S
  /** A shared cache in front of the store, such as `redisCache`: never an arbiter. It needs `secrets`, which sign what lies in it. */
  readonly cache?: Cache
  /** Keys of the fingerprints and of encrypted outcomes, newest first. An old one stays until every record made under it is gone. */
  readonly secrets?: readonly { readonly id: number; readonly key: Uint8Array | string }[]
  /** Default of every operation: outcomes are stored encrypted (AES-256-GCM) under the newest secret. Default false. */
  readonly encrypt?: boolean
  /** Default of every operation: `enforce`. */
  readonly phase?: Phase
  readonly limits?: Partial<Limits>
  /** How many new keys one caller may use in a window, and how many may run at once. Default: no bound. */
  readonly budget?: BudgetOptions
  /** Receives what happens; also the way to metrics and logs. */
  readonly events?: EventSink
  /** Reports, as the event `network-in-transaction`, a handler that reaches for the network while its transaction is open. Default off. */
  readonly development?: boolean
  /** Names this process in the audit trail. */
  readonly owner?: string
}

/** The platform's clock, randomness and hash; the simulator hands in its own. */
export interface Platform {
  readonly clock: Clock
  readonly random: Random
  readonly hasher: Hasher
  /** Without it no outcome can be encrypted. */
  readonly cipher?: Cipher
  /** How `start({ relay })` begins; absent where a relay cannot run. */
  readonly startRelay?: StartRelay
  /** The machinery of steps; without it no operation is bound to them. */
  readonly steps?: StepRuntime
  readonly watchNetwork?: NetworkWatch
}

/** The data layer's handle of a transactional store; `never` for the others. */
export type TxOf<S extends Store> = S extends TransactionalStore<infer Tx> ? Tx : never

/** What an operation of this store can be bound to. */
export type BindOf<Tx> = [Tx] extends [never] ? 'lease' : 'transaction' | 'lease'

/** Steps need a durable store that commits recovery points with the user's rows. */
export type StepsOf<Tx> = [Tx] extends [never] ? never : 'steps'

/** Background work of `start()`. */
export interface StartOptions {
  /** Sweep what has outlived its policy, every `sweepEveryMs` (default one minute). Default off. */
  readonly sweeper?: boolean
  readonly sweepEveryMs?: number
  /** Most records of one batch; default and at most 5,000. Fewer hold locks for a shorter time. */
  readonly sweepBatchMax?: number
  /** Send what handlers put into the outbox, through these sinks; the first takes the messages that name none. Default none. */
  readonly relay?: readonly OutboxSink[]
  readonly relayOptions?: RelayOptions
  /** Resume operations of steps whose owner is gone, in this process, which has their code. Default off. */
  readonly completer?: boolean | CompleterOptions
}
