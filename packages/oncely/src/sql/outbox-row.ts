import type { OutboxStats, ParkedAggregate, StoredMessage } from '../core/index.ts'
import { bytesOf, numberOf, type Row, textOf } from './row.ts'

/** Text that a server may have given back as bytes. */
function wordOf(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : textOf(value)
}

/** A message as a store's `read` selects it: `attempts` are the failed deliveries of the message at `held_seq`. */
export function storedMessage(row: Row): StoredMessage {
  const position = BigInt(textOf(row['seq']))
  const failed = textOf(row['held_seq']) === position.toString() ? numberOf(row['attempts']) : 0
  return {
    position,
    id: textOf(row['id']),
    sink: wordOf(row['sink']),
    topic: wordOf(row['topic']),
    aggregate: wordOf(row['aggregate']),
    type: wordOf(row['type']),
    contentType: wordOf(row['content_type']),
    headers: JSON.parse(wordOf(row['headers'])) as Record<string, string>,
    payload: bytesOf(row['payload']),
    occurredAtMs: numberOf(row['occurred']),
    attempt: failed + 1,
  }
}

export function parkedAggregate(row: Row): ParkedAggregate {
  return {
    sink: wordOf(row['sink']),
    aggregate: wordOf(row['aggregate']),
    attempts: numberOf(row['attempts']),
    error: wordOf(row['error']),
    parkedAtMs: numberOf(row['since']),
    messages: numberOf(row['messages']),
  }
}

export function outboxStats(row: Row): OutboxStats {
  return { backlog: numberOf(row['backlog']), oldestMs: Math.max(0, numberOf(row['oldest_ms'])), parked: numberOf(row['parked']) }
}
