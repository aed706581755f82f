import {
  type AttemptContext,
  type Call,
  codecIds,
  contextWith,
  derivedKey,
  type Engine,
  type Execution,
  type InboxPartition,
  type InboxStore,
  InvalidInput,
  isOncelyError,
  isRejection,
  type OncelyErrorCode,
  type Outbox,
  type ParkedLease,
  StoreUnavailable,
  type TransactionalStore,
  transactPlainly,
  validateInput,
  type Work,
} from '../core/index.ts'
import type { InboxSettings } from './inbox-settings.ts'
import type { Identified } from './message-id.ts'
import { errorText, type MessageOutcome } from './message-outcome.ts'

/** What of a message commits with its effect besides its record. */
export interface MessageStep {
  /** Offset mode: the partition's step onto this message. */
  readonly advance?: { readonly partition: InboxPartition; readonly owner: string; readonly from: bigint; readonly to: bigint }
  /** The store delivers it: its parked copy goes. */
  readonly lease?: ParkedLease
  /** Failures before this one. */
  readonly failed: number
}

export type MessageHandler = (context: object) => unknown

/** Mistakes of whoever set it up: no message is to blame, so none may be used up. */
const mistakes: ReadonlySet<OncelyErrorCode> = new Set([
  'ONCELY_CONFIGURATION',
  'ONCELY_STORE_TOO_WEAK',
  'ONCELY_STORE_SCHEMA',
  'ONCELY_FOREIGN_TRANSACTION',
  'ONCELY_UNSUPPORTED',
  'ONCELY_PRINCIPAL_MISSING',
])

/** Runs messages through the engine: each one is a call of the operation, by the consumer, under the message's id. */
export class MessageRunner<Tx> {
  readonly #engine: Engine<Tx>
  readonly #settings: InboxSettings
  readonly #handler: MessageHandler
  readonly #store: InboxStore<Tx>

  constructor(engine: Engine<Tx>, settings: InboxSettings, handler: MessageHandler) {
    this.#engine = engine
    this.#settings = settings
    this.#handler = handler
    this.#store = (engine.parts.store as TransactionalStore<Tx>).inbox as InboxStore<Tx>
  }

  /** @throws the typed error of a mistake in the configuration, and nothing else. */
  async run(item: Identified, step: MessageStep): Promise<MessageOutcome> {
    const { operation, mode } = this.#settings
    try {
      const input = await this.#input(item)
      const work = this.#work(item, input, step)
      const execution =
        mode === 'offset'
          ? await this.#engine.executeUnkeyed(operation, work)
          : await this.#engine.execute(operation, this.call(item, input), work)
      return await this.#outcome(execution, step)
    } catch (error) {
      return judgeError(error)
    }
  }

  /** The message as a call of the operation. */
  call({ message, messageId }: Identified, input: unknown): Call {
    const { payload, contentType = '' } = message
    const json = this.#settings.decode === undefined && (this.#settings.operation.input !== undefined || /[/+]json\b/i.test(contentType))
    const body =
      payload.length === 0 ? ({ kind: 'none' } as const) : { kind: json ? ('json' as const) : ('bytes' as const), bytes: payload }
    return { principal: this.#settings.consumer, key: messageId ?? '', facts: { body }, input }
  }

  /** Writes what commits with a message that has no effect here: it ran before, or never will. False: somebody else owns it. */
  async settle(tx: Tx, step: MessageStep): Promise<boolean> {
    const { advance, lease } = step
    if (advance !== undefined && !(await this.#store.advance(tx, this.#settings.consumer, advance.partition, advance))) return false
    return lease === undefined || (await this.#store.unpark(tx, lease))
  }

  async #input({ message }: Identified): Promise<unknown> {
    const { decode, operation } = this.#settings
    if (decode !== undefined) return validateInput(operation, decode(message))
    if (operation.input === undefined) return undefined
    let value: unknown
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(message.payload))
    } catch (error) {
      throw new InvalidInput('The payload is not JSON, which the schema of its operation needs.', ['not JSON'], { cause: error })
    }
    return validateInput(operation, value)
  }

  /** What a handler returns is nobody's answer, so nothing of it is kept. */
  #work(item: Identified, input: unknown, step: MessageStep): Work<unknown, Tx> {
    const inTransaction = this.#settings.operation.bind === 'transaction'
    return {
      run: async (context, tx, outbox) => {
        try {
          await this.#handler(this.#context(item, input, step, context, tx, outbox))
        } catch (error) {
          // Kept whole: a recorded refusal would be an outcome, and nobody could let the message run again.
          throw inTransaction && isRejection(error) ? new Hopeless(error.value) : error
        }
        if (inTransaction && !(await this.settle(tx as Tx, step))) throw new Fenced()
        return undefined
      },
      encode: () => ({ codec: codecIds.none, bytes: new Uint8Array(0) }),
      encodeRejection: () => ({ codec: codecIds.none, bytes: new Uint8Array(0) }),
      judge: () => 'complete',
    }
  }

  #context(
    { message, id, idHex, messageId }: Identified,
    input: unknown,
    { failed }: MessageStep,
    context: AttemptContext,
    tx: Tx | undefined,
    outbox: Outbox | undefined,
  ): object {
    const { operation, mode } = this.#settings
    const { hasher } = this.#engine.parts
    const own = operation.bind === 'transaction' ? { message, input, tx, outbox } : { message, input }
    if (mode === 'message-id') return contextWith(context, own)
    const deriveKey = (name: string): string => derivedKey(hasher, undefined, id, name)
    return contextWith(context, { ...own, key: messageId ?? '', deriveKey, attempt: failed + 1, record: idHex })
  }

  async #outcome(execution: Execution<unknown>, step: MessageStep): Promise<MessageOutcome> {
    const { operation, mode } = this.#settings
    switch (execution.status) {
      case 'done':
        if (operation.bind === 'lease') await this.#settleAlone(step)
        return { kind: 'done', because: 'done' }
      case 'unprotected':
        if (mode !== 'offset') await this.#settleAlone(step)
        return { kind: 'done', because: mode === 'offset' ? 'done' : 'unprotected' }
      case 'replayed':
      case 'forbidden':
      case 'expired':
        if (execution.status === 'expired' && execution.summary.state !== 'completed')
          return { kind: 'hopeless', reason: 'uncertain', error: execution.summary.reason }
        await this.#settleAlone(step)
        return { kind: 'done', because: 'replayed' }
      case 'rejected':
        return { kind: 'hopeless', reason: 'rejected', error: rejectionText(execution.value) }
      case 'mismatch':
        return { kind: 'hopeless', reason: 'mismatch', error: 'the id was used by another payload' }
      case 'uncertain':
        return { kind: 'hopeless', reason: 'uncertain', error: execution.summary?.reason ?? 'an earlier attempt may have taken effect' }
      case 'quarantined':
        return { kind: 'hopeless', reason: 'attempts', error: execution.summary.reason }
      case 'in-progress':
        return { kind: 'undecided', retryAfterMs: execution.retryAfterMs, because: 'in-progress' }
      case 'unrecorded':
      case 'unavailable':
        return { kind: 'undecided', retryAfterMs: execution.retryAfterMs, because: 'unavailable' }
      case 'failed':
        throw new TypeError('the work of a message is never judged failed')
      default:
        return execution satisfies never
    }
  }

  /** The parked copy of a message that ran before; when its lease is lost, whoever has it finds out the same. */
  async #settleAlone(step: MessageStep): Promise<void> {
    if (step.lease === undefined) return
    await transactPlainly<Tx, undefined>(this.#engine, this.#settings.operation, async (tx) => {
      await this.settle(tx, step)
      return { end: 'commit', value: undefined }
    })
  }
}

/** Thrown through the transaction, which is rolled back. */
class Hopeless extends Error {
  constructor(value: unknown) {
    super(rejectionText(value))
    this.name = 'Rejected'
  }
}

class Fenced extends Error {}

function judgeError(error: unknown): MessageOutcome {
  if (error instanceof Fenced) return { kind: 'fenced' }
  if (error instanceof Hopeless) return { kind: 'hopeless', reason: 'rejected', error: error.message }
  if (error instanceof StoreUnavailable) return { kind: 'undecided', retryAfterMs: 1_000, because: 'unavailable' }
  if (!isOncelyError(error)) return { kind: 'failed', error: errorText(error) }
  if (mistakes.has(error.code)) throw error
  if (error.code === 'ONCELY_INVALID_INPUT') return { kind: 'hopeless', reason: 'invalid', error: errorText(error) }
  // The record says that it ran; what it answered is of no use here.
  if (error.code === 'ONCELY_OUTCOME_CORRUPT') return { kind: 'done', because: 'replayed' }
  return { kind: 'failed', error: errorText(error) }
}

function rejectionText(value: unknown): string {
  try {
    return errorText(`rejected with ${JSON.stringify(value) ?? String(value)}`)
  } catch {
    return 'rejected'
  }
}
