import {
  type Bind,
  type ClaimAnswer,
  fromHex,
  type Hold,
  type OncelyRecord,
  type Outcome,
  type RecordState,
  type RecordSummary,
  type SqlRows,
  type TrailEntry,
} from '../core/index.ts'

/** One row as a driver gave it; drivers differ in how they read 64-bit integers and bytes. */
export type Row = SqlRows['rows'][number]

export const stateCodes: Readonly<Record<RecordState, number>> = { running: 1, completed: 2, released: 3, uncertain: 4, quarantined: 5 }
export const bindCodes: Readonly<Record<Bind, number>> = { transaction: 1, steps: 2, lease: 3 }

const states = nameOf(stateCodes)
const binds = nameOf(bindCodes)

export function onlyRow(result: SqlRows): Row {
  const [row] = result.rows
  if (row === undefined) throw new TypeError('the server answered without a row')
  return row
}

export function numberOf(value: unknown): number {
  return Number(value ?? 0)
}

export function bigintOf(value: unknown): bigint {
  return BigInt(value as string | number | bigint)
}

export function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : String(value)
}

/** The one line that a function or procedure of ours answered. */
export function answerOf(result: SqlRows): string {
  return textOf(onlyRow(result)['answer'])
}

export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return new Uint8Array(value.buffer, value.byteOffset, value.length)
  if (typeof value === 'string' && value.startsWith('\\x')) return fromHex(value.slice(2))
  throw new TypeError(`the driver read bytes as ${typeof value}`)
}

export function isTrue(value: unknown): boolean {
  return value === true || value === 't' || Number(value) === 1
}

/** The answer of a claim in the database, and whether it wrote something that must be committed. */
export interface ClaimLine {
  readonly answer: ClaimAnswer
  readonly wrote: boolean
  /** The server's transaction id, where the claim tells it: a commit may have to be looked up. */
  readonly xact: string
}

/** Reads the line that a claim in the database answers; its form is described with PostgreSQL's `claim`. */
export function claimLine(line: string, id: Uint8Array, attemptId: string): ClaimLine {
  const [word, wrote, ...words] = line.split(' ')
  return { answer: claimAnswer(word as ClaimAnswer['word'], words, id, attemptId), wrote: wrote === 't', xact: words[6] ?? '' }
}

function claimAnswer(word: ClaimAnswer['word'], words: readonly string[], id: Uint8Array, attemptId: string): ClaimAnswer {
  switch (word) {
    case 'acquired': {
      const [epoch, seq = '', attempt, begun, takeover, created] = words
      return {
        word,
        ownership: { id, token: { epoch: Number(epoch), seq: BigInt(seq) }, attemptId },
        attempt: Number(attempt),
        begunAttempt: Number(begun),
        takeover: takeover === 't',
        createdAtMs: Number(created),
      }
    }
    case 'replay':
      return { word, record: summary(words, id), outcome: outcomeWords(words.slice(11)) }
    case 'in-progress':
      return { word, retryAfterMs: Number(words[0]) }
    case 'mismatch':
      return { word }
    case 'uncertain':
      return { word, record: summary(words, id), resolve: words[0] === 't' }
    case 'quarantined':
    case 'expired':
      return { word, record: summary(words, id) }
    case 'unreadable':
      return { word, reason: words[0] ?? '' }
    default:
      return word satisfies never
  }
}

function summary(words: readonly string[], id: Uint8Array): RecordSummary {
  const [, state, epoch, seq = '', attemptId = '', attempt, created, since, actor, operation, reason] = words
  return {
    id,
    state: states(state),
    operation: dotted(operation).toString(),
    actor: bytesOf(dotted(actor)),
    token: { epoch: Number(epoch), seq: BigInt(seq) },
    attemptId,
    attempt: Number(attempt),
    createdAtMs: Number(created),
    completedAtMs: Number(since),
    reason: dotted(reason).toString(),
  }
}

function outcomeWords([codec, checksum, bytes]: readonly string[]): Outcome | undefined {
  return codec === undefined || codec === ''
    ? undefined
    : { codec: Number(codec), checksum: bytesOf(dotted(checksum)), bytes: bytesOf(dotted(bytes)) }
}

/** Hexadecimal after a dot, which stands there when nothing else does. */
function dotted(word: string | undefined): Buffer {
  return Buffer.from(word?.slice(1) ?? '', 'hex')
}

function outcomeOf(codec: unknown, checksum: unknown, bytes: unknown): Outcome | undefined {
  if (codec === null || codec === undefined) return undefined
  return { codec: numberOf(codec), checksum: bytesOf(checksum), bytes: bytesOf(bytes) }
}

/** A whole record, as `readStatement` selects it. */
export function recordRow(row: Row): OncelyRecord {
  const base = {
    id: bytesOf(row['id']),
    operation: textOf(row['operation_name']),
    bind: binds(row['bind']),
    principal: bytesOf(row['principal']),
    actor: bytesOf(row['actor']),
    fingerprint: { version: numberOf(row['fp_version']), keyId: numberOf(row['fp_key_id']), digest: bytesOf(row['fp']) },
    policy: {
      name: textOf(row['policy_name']),
      retentionMs: numberOf(row['retention_ms']),
      tombstoneMs: numberOf(row['tombstone_ms']),
      attemptsMax: numberOf(row['attempts_max']),
      onLostLease: isTrue(row['takeover']) ? ('takeover' as const) : ('uncertain' as const),
      effectTimeoutMs: numberOf(row['effect_timeout_ms']),
    },
    createdAtMs: numberOf(row['created']),
    token: { epoch: numberOf(row['epoch']), seq: bigintOf(row['seq']) },
    attemptId: textOf(row['attempt_id']),
    attempt: numberOf(row['attempt']),
    begunAttempt: numberOf(row['begun_attempt']),
  }
  const state = states(row['state'])
  const sinceMs = numberOf(row['since'])
  const leaseEndMs = numberOf(row['lease_end'])
  const reason = textOf(row['reason'])
  switch (state) {
    case 'running':
      return { ...base, state, leaseEndMs }
    case 'released':
      return { ...base, state, releasedAtMs: sinceMs }
    case 'uncertain':
      return { ...base, state, leaseEndMs, sealedAtMs: sinceMs, reason, resolverUntilMs: numberOf(row['resolver_until']) }
    case 'quarantined':
      return { ...base, state, quarantinedAtMs: sinceMs, reason }
    case 'completed':
      return { ...base, state, completedAtMs: sinceMs, outcome: outcomeOf(row['codec'], row['checksum'], row['bytes']) }
    default:
      return state satisfies never
  }
}

/** One row of the legal holds. */
export function holdRow(row: Row): Hold {
  const digest = bytesOf(row['digest'])
  return {
    target: textOf(row['kind']) === 'record' ? { record: digest } : { principal: digest },
    placedAtMs: numberOf(row['placed']),
    by: textOf(row['placed_by']),
    reason: textOf(row['reason']),
  }
}

/** The lines of one row of the trail: a record claimed and completed in one transaction has one row for both. */
export function trailRows(row: Row): readonly TrailEntry[] {
  const entry: TrailEntry = {
    atMs: numberOf(row['at']),
    event: textOf(row['event']),
    token: row['epoch'] === null ? '' : `${textOf(row['epoch'])}:${textOf(row['seq'])}`,
    attemptId: textOf(row['attempt_id']),
    owner: textOf(row['owner']),
    traceId: textOf(row['trace_id']),
    reason: textOf(row['reason']),
    count: numberOf(row['count']),
  }
  return row['claimed'] === null ? [entry] : [{ ...entry, atMs: numberOf(row['claimed']), event: 'claimed' }, entry]
}

function nameOf<Name extends string>(codes: Readonly<Record<Name, number>>): (code: unknown) => Name {
  const names = new Map(Object.entries(codes).map(([name, code]) => [code as number, name as Name]))
  return (code) => {
    const name = names.get(numberOf(code))
    if (name === undefined) throw new TypeError(`the database holds the unknown code ${textOf(code)}; this version is older than its data`)
    return name
  }
}
