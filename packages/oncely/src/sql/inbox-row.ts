import type { DeadLetter, InboxState, InboxStats, ParkedLease, PartitionOffset, QuarantineReason } from '../core/index.ts'
import { messageOf } from './message-envelope.ts'
import { bigintOf, bytesOf, isTrue, numberOf, type Row, textOf } from './row.ts'

export function stateRow(row: Row): InboxState {
  const reason = textOf(row['reason'])
  return {
    quarantined: reason === '' ? undefined : (reason as QuarantineReason),
    parked: isTrue(row['parked']),
    laneParked: isTrue(row['lane_parked']),
    waitMs: numberOf(row['wait_ms']),
    started: numberOf(row['started']),
    finished: numberOf(row['finished']),
    failed: numberOf(row['failed']),
    alone: numberOf(row['alone']),
    lastError: textOf(row['last_error']),
  }
}

export function letterRow(row: Row): DeadLetter {
  return {
    id: bytesOf(row['id']),
    consumer: textOf(row['consumer']),
    operation: textOf(row['operation']),
    reason: textOf(row['reason']) as QuarantineReason,
    error: textOf(row['error']),
    attempts: numberOf(row['attempts']),
    messageId: textOf(row['message_id']),
    lane: bytesOf(row['lane']),
    message: messageOf(textOf(row['envelope']), bytesOf(row['payload'])),
    quarantinedAtMs: numberOf(row['at']),
  }
}

export function parkedRow(row: Row): ParkedLease {
  return {
    parked: {
      id: bytesOf(row['id']),
      consumer: textOf(row['consumer']),
      lane: bytesOf(row['lane']),
      message: messageOf(textOf(row['envelope']), bytesOf(row['payload'])),
    },
    position: bigintOf(row['position']),
    token: bigintOf(row['token']),
  }
}

export function offsetRow(row: Row): PartitionOffset {
  return { applied: bigintOf(row['applied']), incarnation: textOf(row['incarnation']) }
}

export function inboxStatsRow(row: Row): InboxStats {
  return {
    open: numberOf(row['open']),
    parked: numberOf(row['parked']),
    oldestParkedMs: numberOf(row['oldest_parked_ms']),
    quarantined: numberOf(row['quarantined']),
    duplicates: numberOf(row['duplicates']),
    lateDuplicates: numberOf(row['late']),
  }
}
