import type { AttemptContext, Execution } from './attempt.ts'
import type { AttemptEnd } from './attempt-end.ts'
import type { BudgetCounter, BudgetLimits } from './budget.ts'
import type { Cache } from './cache.ts'
import type { Clock } from './clock.ts'
import type { EventSink, OncelyEventType } from './event.ts'
import type { OutcomeSeal } from './outcome-seal.ts'
import type { Identity, Prepared } from './preparation.ts'
import type { Random } from './random.ts'
import type { ClaimAnswer, Store } from './store.ts'

/** What an engine is built from, and the few shapes its files pass between each other. */
export interface EngineParts extends Identity {
  readonly store: Store
  readonly outcomes: OutcomeSeal
  readonly clock: Clock
  readonly random: Random
  readonly events: EventSink | undefined
  readonly cache: Cache | undefined
  /** In development: notices a handler that reaches for the network while its transaction is open. */
  readonly watchNetwork?: NetworkWatch | undefined
  /** Called when an attempt's messages are written: a relay of this process need not wait for its next look. */
  readonly messagesWritten: () => void
  /** How much one caller may use up, and where it is counted. */
  readonly budget?: { readonly limits: BudgetLimits; readonly counter: BudgetCounter | undefined } | undefined
  /** The store was opened, and survives what each operation needs. */
  readonly opened: () => boolean
  /** Opens the store and checks what it survives. */
  readonly open: () => Promise<unknown>
}

/** Runs a function and reports what of the network it reached for, once for each place. */
export type NetworkWatch = <R>(run: () => Promise<R>, report: (place: string) => void) => Promise<R>

/** A claim's word when it is not `acquired`, or that there was none. */
export type Refusal =
  | Exclude<ClaimAnswer, { word: 'acquired' }>
  | { readonly word: 'unavailable'; readonly cause: unknown }
  | { readonly word: 'over-budget'; readonly retryAfterMs: number }

/** One try of one call: it ran to some end, or the word was no. */
export type Step<R> = { readonly kind: 'ended'; readonly execution: Execution<R> } | { readonly kind: 'refused'; readonly refusal: Refusal }

export type Acquired = Extract<ClaimAnswer, { word: 'acquired' }>

/** Reports what happened to the event sink, if anybody listens. */
export type Tell = (type: OncelyEventType, about: About, attempt: number, reason: string, error?: unknown) => void

/** What an event is about; without a caller where none was resolved. */
export type About = Pick<Prepared, 'idHex' | 'operation'> & Partial<Pick<Prepared, 'client'>>

/** The handler's context; how effects begin and when to stop is what differs between binds. */
export function attemptContext(prepared: Prepared, claim: Acquired, begin: () => Promise<void>, end: Signalling): AttemptContext {
  const { call, deriveKey, idHex } = prepared
  return {
    key: call.key,
    deriveKey,
    fence: claim.ownership.token,
    attempt: claim.attempt,
    begin,
    get signal() {
      return end.signal
    },
    record: idHex,
  }
}

/** The same context with what its entry point adds. A spread would make the signal that most handlers never look at. */
export function contextWith<Added extends object>(context: AttemptContext, added: Added): AttemptContext & Added {
  const { key, deriveKey, fence, attempt, begin, record } = context
  return {
    key,
    deriveKey,
    fence,
    attempt,
    begin,
    get signal() {
      return context.signal
    },
    record,
    ...added,
  }
}

type Signalling = Pick<AttemptEnd, 'signal'>

/** The context of a handler that no claim protects: the store was down, the phase only observes, or the call has no key. */
export function unprotectedContext(prepared: Prepared | undefined, end: Signalling): AttemptContext {
  const fence = { epoch: 0, seq: 0n }
  const begin = async (): Promise<void> => {}
  return {
    key: prepared?.call.key ?? '',
    deriveKey: prepared?.deriveKey ?? refuseDerivedKey,
    fence,
    attempt: 0,
    begin,
    get signal() {
      return end.signal
    },
    record: prepared?.idHex ?? '',
  }
}

function refuseDerivedKey(): never {
  throw new TypeError('deriveKey needs a key: this call came without one.')
}

/** The first line of an error's message is not a secret's place; its name is enough for a reason that is stored. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
