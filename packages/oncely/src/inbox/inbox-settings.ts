import {
  ConfigurationError,
  checkBound,
  isTransactional,
  type Operation,
  type OperationDefinition,
  parseDuration,
  type ReceivedMessage,
  type Store,
  type TransactionalStore,
  Unsupported,
} from '../core/index.ts'
import { defaultMessageId } from './default-message-id.ts'
import type { InboxOptions } from './inbox-options.ts'

/** An inbox's options, checked, with every default filled in. */
export interface InboxSettings {
  readonly operation: OperationDefinition
  readonly consumer: string
  readonly mode: 'message-id' | 'offset'
  readonly ordering: 'none' | 'partition' | 'key'
  readonly messageId: (message: ReceivedMessage) => string | undefined
  readonly orderingKey: (message: ReceivedMessage) => string | undefined
  readonly decode: ((message: ReceivedMessage) => unknown) | undefined
  readonly attemptsMax: number
  readonly crashesMax: number
  readonly backoffFirstMs: number
  readonly backoffCeilingMs: number
  readonly deadLetter: { readonly topic: string; readonly sink: string } | undefined
  readonly concurrency: number
  readonly revokeMs: number
}

/**
 * Refuses what cannot work before a message is received.
 *
 * @throws ConfigurationError, Unsupported
 */
export function checkInbox(
  { definition, engine }: Pick<Operation<never, never, never, 'lease'>, 'definition' | 'engine'>,
  options: InboxOptions,
): InboxSettings {
  const { consumer, mode = 'message-id', deadLetter, backoff = {} } = options
  const { store } = engine.parts
  if (typeof consumer !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(consumer))
    throw new ConfigurationError(
      `consumer is ${JSON.stringify(consumer)}; it must be 1 to 200 printable ASCII characters, such as 'kafka:billing': what one consumer has done says nothing about another.`,
    )
  checkStore(store, consumer)
  if (mode !== 'message-id' && mode !== 'offset')
    throw new ConfigurationError(`Inbox "${consumer}": mode ${JSON.stringify(mode)} is unknown; it is 'message-id' or 'offset'.`)
  const ordering = options.ordering ?? (mode === 'offset' ? 'partition' : 'none')
  if (!['none', 'partition', 'key'].includes(ordering))
    throw new ConfigurationError(
      `Inbox "${consumer}": ordering ${JSON.stringify(ordering)} is unknown; it is 'none', 'partition' or 'key'.`,
    )
  if (mode === 'offset' && definition.bind !== 'transaction')
    throw new ConfigurationError(
      `Inbox "${consumer}": offset mode needs bind 'transaction': the offset commits with the effect, or it says nothing.`,
    )
  if (mode === 'offset' && ordering === 'none')
    throw new ConfigurationError(
      `Inbox "${consumer}": offset mode keeps the order of the partition; use ordering 'partition', or 'key' to park a key that fails.`,
    )
  const backoffFirstMs = parseDuration('backoff.first', backoff.first ?? '1s')
  const backoffCeilingMs = parseDuration('backoff.ceiling', backoff.ceiling ?? '5m')
  if (backoffFirstMs < 1 || backoffCeilingMs < backoffFirstMs)
    throw new ConfigurationError(
      `Inbox "${consumer}": backoff.first is ${backoffFirstMs} ms and backoff.ceiling ${backoffCeilingMs} ms; the first is at least 1 ms and not above the ceiling.`,
    )
  if (deadLetter !== undefined && (store as TransactionalStore<never>).outbox === undefined)
    throw new Unsupported(
      `Inbox "${consumer}": the store "${store.name}" keeps no outbox, through which dead letters are sent. Leave deadLetter out: quarantined messages are listed all the same.`,
    )
  const target = typeof deadLetter === 'string' ? { topic: deadLetter } : deadLetter
  return {
    operation: definition,
    consumer,
    mode,
    ordering,
    messageId: options.messageId ?? defaultMessageId,
    orderingKey: options.orderingKey ?? ((message) => message.orderingKey),
    decode: options.decode,
    attemptsMax: checkBound('attemptsMax', options.attemptsMax, { preset: 8, min: 1, max: 10_000 }),
    crashesMax: checkBound('crashesMax', options.crashesMax, { preset: 3, min: 1, max: 1_000 }),
    backoffFirstMs,
    backoffCeilingMs,
    deadLetter: target === undefined ? undefined : { topic: target.topic, sink: target.sink ?? '' },
    concurrency: checkBound('concurrency', options.concurrency, { preset: 4, min: 1, max: 1_000 }),
    revokeMs: parseDuration('revokeTimeout', options.revokeTimeout ?? '10s'),
  }
}

function checkStore(store: Store, consumer: string): void {
  if (store.inbox !== undefined && isTransactional(store)) return
  throw new Unsupported(
    `Inbox "${consumer}": the store "${store.name}" keeps no inbox. Use PostgreSQL, MariaDB or SQLite: what a message did, how often it failed and what is quarantined commit together there.`,
  )
}
