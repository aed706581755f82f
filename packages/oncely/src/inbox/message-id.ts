import { checkKey, type EngineParts, type InboxPartition, type ReceivedMessage, recordId, toHex } from '../core/index.ts'
import type { InboxSettings } from './inbox-settings.ts'

/** A message with what it is known by. */
export interface Identified {
  readonly message: ReceivedMessage
  /** What its marks are kept under: the record's id in message-id mode. */
  readonly id: Uint8Array
  readonly idHex: string
  /** What it is deduplicated by; undefined when it has neither an id nor a position, and never runs. */
  readonly messageId: string | undefined
  /** What keeps an order of its own; the message's own id where it waits for nobody. */
  readonly lane: Uint8Array
  readonly ordered: boolean
}

type Parts = Pick<EngineParts, 'hasher' | 'namespace' | 'limits'>

export function identify(parts: Parts, settings: InboxSettings, message: ReceivedMessage): Identified {
  const { consumer, mode } = settings
  const messageId = mode === 'offset' ? offsetId(message) : usable(parts, settings.messageId(message))
  const known = messageId ?? `unidentified ${toHex(contentDigest(parts, message))}`
  const space = mode === 'message-id' && messageId !== undefined ? parts.namespace : `\u0000inbox/${mode}/${parts.namespace}`
  const { keyspace, name } = settings.operation
  const id = recordId(
    {
      namespace: space,
      principal: consumer,
      key: known,
      ...(keyspace === 'operation' && mode === 'message-id' ? { operation: name } : {}),
    },
    parts.hasher,
  )
  const key = settings.ordering === 'key' ? settings.orderingKey(message) : undefined
  const lane = key === undefined ? id : recordId({ namespace: `\u0000lane/${parts.namespace}`, principal: consumer, key }, parts.hasher)
  return { message, id, idHex: toHex(id), messageId, lane, ordered: key !== undefined }
}

export function partitionOf({ source, partition = 0, incarnation }: ReceivedMessage): InboxPartition {
  return incarnation === undefined ? { source, partition } : { source, partition, incarnation }
}

export function partitionName({ source, partition }: InboxPartition): string {
  return `${source}/${partition}`
}

/** Marks and letters of offset mode are kept by position; the partition's row decides, so the incarnation may be unknown. */
function offsetId({ source, partition = 0, offset, incarnation = '' }: ReceivedMessage): string | undefined {
  return offset === undefined ? undefined : `${source}/${incarnation}/${partition}/${offset}`
}

function usable({ limits }: Parts, messageId: string | undefined): string | undefined {
  return messageId !== undefined && checkKey(messageId, limits) === 'ok' ? messageId : undefined
}

function contentDigest({ hasher }: Parts, { source, headers, payload }: ReceivedMessage): Uint8Array {
  const head = new TextEncoder().encode(JSON.stringify([source, Object.entries(headers).sort()]))
  const whole = new Uint8Array(head.length + payload.length)
  whole.set(head)
  whole.set(payload, head.length)
  return hasher.sha256(whole)
}
