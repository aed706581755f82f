import {
  type DeadLetter,
  type Engine,
  type InboxStore,
  InvalidInput,
  type OutboxDraft,
  outboxRow,
  type ParkedLease,
  type QuarantineReason,
  quarantineRecord,
  StoreUnavailable,
  type TransactionalStore,
  transactPlainly,
} from '../core/index.ts'
import type { InboxSettings } from './inbox-settings.ts'
import type { Identified } from './message-id.ts'
import type { MessageOutcome } from './message-outcome.ts'
import type { MessageRunner, MessageStep } from './message-run.ts'

/** What became of a message that was to be quarantined. */
export type QuarantineOutcome =
  | { readonly kind: 'quarantined'; readonly reason: QuarantineReason }
  | Extract<MessageOutcome, { kind: 'done' | 'undecided' | 'fenced' }>

interface Sentence {
  readonly reason: QuarantineReason
  readonly error: string
  readonly attempts: number
}

/**
 * Takes a message out of circulation: its record is quarantined, its letter kept, its dead letter sent and its partition advanced in
 * one commit. An attempt that is still running somewhere completes before it, and then nothing is quarantined, or never.
 */
export class Quarantine<Tx> {
  readonly #engine: Engine<Tx>
  readonly #settings: InboxSettings
  readonly #runner: MessageRunner<Tx>
  readonly #store: TransactionalStore<Tx>

  constructor(engine: Engine<Tx>, settings: InboxSettings, runner: MessageRunner<Tx>) {
    this.#engine = engine
    this.#settings = settings
    this.#runner = runner
    this.#store = engine.parts.store as TransactionalStore<Tx>
  }

  async put(item: Identified, sentence: Sentence, step: MessageStep): Promise<QuarantineOutcome> {
    try {
      if (this.#settings.mode === 'offset' || item.messageId === undefined) return await this.#putAlone(item, sentence, step)
      return await this.#putRecord(item, sentence, step)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      return { kind: 'undecided', retryAfterMs: 1_000, because: 'unavailable' }
    }
  }

  /** Removes the parked copy of a message that has its word already. */
  async removeParked(lease: ParkedLease): Promise<boolean> {
    return transactPlainly<Tx, boolean>(this.#engine, this.#settings.operation, async (tx) => ({
      end: 'commit',
      value: await (this.#store.inbox as InboxStore<Tx>).unpark(tx, lease),
    }))
  }

  async #putRecord(item: Identified, sentence: Sentence, step: MessageStep): Promise<QuarantineOutcome> {
    const { operation } = this.#settings
    try {
      const word = await quarantineRecord<Tx>(this.#engine, {
        operation,
        call: this.#runner.call(item, undefined),
        reason: sentence.reason,
        write: async (tx, said) => {
          if (step.lease !== undefined) await (this.#store.inbox as InboxStore<Tx>).unpark(tx, step.lease)
          await this.#write(tx, item, said === 'quarantined' ? sentence : { ...sentence, reason: said })
        },
      })
      switch (word) {
        case 'quarantined':
          return { kind: 'quarantined', reason: sentence.reason }
        case 'mismatch':
        case 'uncertain':
          return { kind: 'quarantined', reason: word }
        case 'completed':
          // Recorded as refused under a lease: the letter is all that is missing.
          if (sentence.reason === 'rejected') return await this.#putAlone(item, sentence, step)
          return { kind: 'done', because: 'replayed' }
        case 'in-progress':
        case 'unreadable':
          return { kind: 'undecided', retryAfterMs: 1_000, because: word === 'unreadable' ? 'unavailable' : word }
        default:
          return word satisfies never
      }
    } catch (error) {
      // What cannot be fingerprinted has no record.
      if (error instanceof InvalidInput) return this.#putAlone(item, sentence, step)
      throw error
    }
  }

  async #putAlone(item: Identified, sentence: Sentence, step: MessageStep): Promise<QuarantineOutcome> {
    const settled = await transactPlainly<Tx, boolean>(this.#engine, this.#settings.operation, async (tx) => {
      if (!(await this.#runner.settle(tx, step))) return { end: 'roll-back', value: false }
      await this.#write(tx, item, sentence)
      return { end: 'commit', value: true }
    })
    return settled ? { kind: 'quarantined', reason: sentence.reason } : { kind: 'fenced' }
  }

  async #write(tx: Tx, item: Identified, sentence: Sentence): Promise<void> {
    const letter = this.#letter(item, sentence)
    const fresh = await (this.#store.inbox as InboxStore<Tx>).bury(tx, letter)
    const { deadLetter } = this.#settings
    if (deadLetter === undefined || !fresh) return
    const { hasher } = this.#engine.parts
    await this.#store.outbox?.enqueue(tx, [outboxRow(hasher, letter.id, 0, deadLetterDraft(letter, deadLetter))])
  }

  #letter({ message, id, messageId = '', lane }: Identified, { reason, error, attempts }: Sentence): Omit<DeadLetter, 'quarantinedAtMs'> {
    const { consumer, operation } = this.#settings
    // The record under this id belongs to another payload, whose own letter it could become.
    const own = reason === 'mismatch' ? otherId(id, message.payload, this.#engine.parts.hasher) : id
    return { id: own, consumer, operation: operation.name, reason, error, attempts, messageId, lane, message }
  }
}

function otherId(id: Uint8Array, payload: Uint8Array, hasher: { sha256(bytes: Uint8Array): Uint8Array }): Uint8Array {
  const both = new Uint8Array(id.length + 32)
  both.set(id)
  both.set(hasher.sha256(payload), id.length)
  return hasher.sha256(both)
}

/** The message as it came, under headers that say why it is here. */
function deadLetterDraft(
  letter: Omit<DeadLetter, 'quarantinedAtMs'>,
  { topic, sink }: { readonly topic: string; readonly sink: string },
): OutboxDraft {
  const { message, reason, error, attempts, consumer, operation, messageId } = letter
  const { source, partition = 0, offset, contentType = 'application/octet-stream' } = message
  const origin = offset === undefined ? source : `${source}/${partition}/${offset}`
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(message.headers))
    if (/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name)) headers[name] = plain(value)
  const own = { reason, error, attempts: String(attempts), consumer, operation, origin, 'message-id': messageId }
  for (const [name, value] of Object.entries(own)) headers[`oncely-${name}`] = plain(value)
  return { topic, sink, type: 'oncely.dead-letter', payload: message.payload, contentType: plain(contentType), headers }
}

/** Headers of an outbox message hold no control characters. */
function plain(text: string): string {
  return text.replaceAll(/\p{Cc}|\p{Cs}/gu, ' ')
}
