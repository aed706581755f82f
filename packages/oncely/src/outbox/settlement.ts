import type { HeldAggregate, OutboxAggregate, OutboxSettlement, SinkAnswer, StoredMessage } from '../core/index.ts'

/** How often, and after which wait, a message is tried again. */
export interface RetryRule {
  readonly attemptsMax: number
  readonly backoffMs: number
  readonly backoffMaxMs: number
  /** A number in [0, 1). */
  readonly fraction: () => number
}

/** A message with what its sink said of it. */
export interface Answered {
  readonly message: StoredMessage
  readonly answer: SinkAnswer
}

/** Longest wait that a receiver's word is taken for. */
const afterMsMax = 86_400_000

/**
 * What becomes of a batch: what was sent is deleted; the first message of an aggregate that was not sent holds or parks it. Messages
 * behind that one are left as they are: they were not tried, so they do not count.
 */
export function settlementOf(answered: readonly Answered[], rule: RetryRule): OutboxSettlement {
  const sent: bigint[] = []
  const freed = new Map<string, OutboxAggregate>()
  const held = new Map<string, HeldAggregate>()
  for (const { message, answer } of answered) {
    const { sink, aggregate, position, attempt } = message
    const key = JSON.stringify([sink, aggregate])
    if (answer === 'sent') {
      sent.push(position)
      if (attempt > 1) freed.set(key, { sink, aggregate })
    } else if (!held.has(key)) {
      held.set(key, { sink, aggregate, position, attempts: attempt, delayMs: delayOf(answer, attempt, rule), error: reasonOf(answer) })
    }
  }
  for (const key of held.keys()) freed.delete(key)
  return { sent, freed: [...freed.values()], held: [...held.values()] }
}

/** Undefined parks. Full jitter, so that aggregates that failed together do not come back together. */
function delayOf(answer: Exclude<SinkAnswer, 'sent'>, attempt: number, rule: RetryRule): number | undefined {
  const word = typeof answer === 'string' ? answer : answer.word
  if (word === 'refused' || attempt >= rule.attemptsMax) return undefined
  const ceilingMs = Math.min(rule.backoffMaxMs, rule.backoffMs * 2 ** Math.min(attempt - 1, 30))
  const afterMs = typeof answer === 'object' && answer.word === 'retry' ? (answer.afterMs ?? 0) : 0
  return Math.ceil(Math.max(1, ceilingMs * rule.fraction(), Math.min(afterMs, afterMsMax)))
}

function reasonOf(answer: SinkAnswer): string {
  return (typeof answer === 'string' ? answer : answer.reason).slice(0, 500)
}
