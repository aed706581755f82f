import type {
  Bind,
  ClaimAnswer,
  ClaimRequest,
  FencingToken,
  OncelyRecord,
  OnLostLease,
  Outcome,
  RecordState,
  RecordSummary,
  TrailEntry,
} from '../../core/index.ts'
import type { RedisReply } from './redis-client.ts'

export function textOf(reply: RedisReply | undefined): string {
  if (reply === null || reply === undefined) return ''
  return typeof reply === 'string' || typeof reply === 'number' ? String(reply) : Buffer.isBuffer(reply) ? reply.toString('utf8') : ''
}

export function numberOf(reply: RedisReply | undefined): number {
  return Number(textOf(reply))
}

/** One type of bytes for everything above, with nothing else of the reply's memory behind it. */
function bytesOf(reply: RedisReply | undefined): Uint8Array {
  return Buffer.isBuffer(reply) ? new Uint8Array(reply) : new TextEncoder().encode(textOf(reply))
}

export function listOf(reply: RedisReply | undefined): readonly RedisReply[] {
  return Array.isArray(reply) ? reply : []
}

/** Four bytes of codec, one of the checksum's length, the checksum, the bytes. */
export function outcomeFrame({ codec, checksum, bytes }: Outcome): Uint8Array {
  const frame = new Uint8Array(5 + checksum.length + bytes.length)
  new DataView(frame.buffer).setUint32(0, codec)
  frame[4] = checksum.length
  frame.set(checksum, 5)
  frame.set(bytes, 5 + checksum.length)
  return frame
}

/** Undefined for an outcome that is not there, or was cut short: the engine then refuses to replay. */
function outcomeOfFrame(frame: Uint8Array): Outcome | undefined {
  const checksumBytes = frame[4]
  if (checksumBytes === undefined || frame.length < 5 + checksumBytes) return undefined
  return {
    codec: new DataView(frame.buffer, frame.byteOffset).getUint32(0),
    checksum: frame.slice(5, 5 + checksumBytes),
    bytes: frame.slice(5 + checksumBytes),
  }
}

function tokenOf(epoch: RedisReply | undefined, seq: RedisReply | undefined): FencingToken {
  return { epoch: numberOf(epoch), seq: BigInt(textOf(seq)) }
}

/** The reply of the claim script. */
export function claimAnswer(reply: RedisReply, request: ClaimRequest): ClaimAnswer {
  const [head, second, third, ...rest] = listOf(reply)
  const word = textOf(head) as ClaimAnswer['word']
  switch (word) {
    case 'acquired': {
      const [attempt, begunAttempt, takeover, createdAtMs] = rest
      return {
        word,
        ownership: { id: request.id, token: tokenOf(second, third), attemptId: request.attemptId },
        attempt: numberOf(attempt),
        begunAttempt: numberOf(begunAttempt),
        takeover: textOf(takeover) === '1',
        createdAtMs: numberOf(createdAtMs),
      }
    }
    case 'in-progress':
      return { word, retryAfterMs: numberOf(second) }
    case 'mismatch':
      return { word }
    case 'unreadable':
      return { word, reason: textOf(second) }
    case 'replay':
      return { word, record: summaryOf(request.id, [third, ...rest]), outcome: outcomeOfFrame(bytesOf(second)) }
    case 'uncertain':
      return { word, record: summaryOf(request.id, [third, ...rest]), resolve: textOf(second) === '1' }
    case 'quarantined':
    case 'expired':
      return { word, record: summaryOf(request.id, [third, ...rest]) }
    default:
      return word satisfies never
  }
}

function summaryOf(id: Uint8Array, parts: readonly (RedisReply | undefined)[]): RecordSummary {
  const [state, operation, actor, epoch, seq, attemptId, attempt, createdAtMs, completedAtMs, reason] = parts
  return {
    id,
    state: textOf(state) as RecordState,
    operation: textOf(operation),
    actor: bytesOf(actor),
    token: tokenOf(epoch, seq),
    attemptId: textOf(attemptId),
    attempt: numberOf(attempt),
    createdAtMs: numberOf(createdAtMs),
    completedAtMs: numberOf(completedAtMs),
    reason: textOf(reason),
  }
}

/** The reply of the read script: the outcome, then the fields in the order of `lua/record.ts`. */
export function recordOf(id: Uint8Array, reply: RedisReply): OncelyRecord | undefined {
  const [outcome, st, op, bi, pr, ac, fv, fk, fd, pn, pt, px, pa, pl, pe, cr, ep, sq, ai, at, bg, le, ch, rs, ru] = listOf(reply)
  if (st === undefined) return undefined
  const base = {
    id,
    operation: textOf(op),
    bind: textOf(bi) as Bind,
    principal: bytesOf(pr),
    actor: bytesOf(ac),
    fingerprint: { version: numberOf(fv), keyId: numberOf(fk), digest: bytesOf(fd) },
    policy: {
      name: textOf(pn),
      retentionMs: numberOf(pt),
      tombstoneMs: numberOf(px),
      attemptsMax: numberOf(pa),
      onLostLease: textOf(pl) as OnLostLease,
      effectTimeoutMs: numberOf(pe),
    },
    createdAtMs: numberOf(cr),
    token: tokenOf(ep, sq),
    attemptId: textOf(ai),
    attempt: numberOf(at),
    begunAttempt: numberOf(bg),
  }
  const changedAtMs = numberOf(ch)
  const state = textOf(st) as RecordState
  switch (state) {
    case 'running':
      return { ...base, state, leaseEndMs: numberOf(le) }
    case 'released':
      return { ...base, state, releasedAtMs: changedAtMs }
    case 'uncertain':
      return { ...base, state, leaseEndMs: numberOf(le), sealedAtMs: changedAtMs, reason: textOf(rs), resolverUntilMs: numberOf(ru) }
    case 'quarantined':
      return { ...base, state, quarantinedAtMs: changedAtMs, reason: textOf(rs) }
    case 'completed':
      return { ...base, state, completedAtMs: changedAtMs, outcome: outcomeOfFrame(bytesOf(outcome)) }
    default:
      return state satisfies never
  }
}

/** The reply of the trail script. */
export function trailOf(reply: RedisReply): readonly TrailEntry[] {
  const [lines, counts] = listOf(reply)
  const entries: TrailEntry[] = listOf(lines).map((line) => {
    const [atMs, event, token, attemptId, owner, traceId, reason] = JSON.parse(textOf(line)) as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    return { atMs: Number(atMs), event, token, attemptId, owner, traceId, reason, count: 0 }
  })
  const pairs = listOf(counts)
  for (let index = 0; index < pairs.length; index += 2) {
    const [minuteMs = '', ...reason] = textOf(pairs[index]).split(' ')
    const told = { event: 'duplicates', token: '', attemptId: '', owner: '', traceId: '', reason: reason.join(' ') }
    entries.push({ ...told, atMs: Number(minuteMs), count: numberOf(pairs[index + 1]) })
  }
  return entries.sort((a, b) => a.atMs - b.atMs)
}
