import { type FencingToken, formatToken, fromHex, type OncelyRecord, type Outcome, type TrailEntry, toHex } from '../../core/index.ts'
import type { KeyValue } from '../../etcd/index.ts'

/** The revision of a claim's own transaction is its token, and nobody knows it while the transaction is written. */
export const ownRevision = 0n

/** The record as JSON: bytes are hexadecimal digits, the outcome lies beside it. A token of `ownRevision` is the key's own. */
export function recordValue(record: OncelyRecord): string {
  const { id: _, token, principal, actor, fingerprint, ...rest } = record
  const outcomeBytes = record.state === 'completed' ? (record.outcome?.bytes.length ?? 0) : 0
  return JSON.stringify({
    ...rest,
    ...('outcome' in rest ? { outcome: undefined } : {}),
    token: { epoch: token.epoch, seq: String(token.seq) },
    principal: toHex(principal),
    actor: toHex(actor),
    fingerprint: { ...fingerprint, digest: toHex(fingerprint.digest) },
    outcomeBytes,
  })
}

export function recordOf(id: Uint8Array, stored: KeyValue, outcome: KeyValue | undefined): OncelyRecord {
  const {
    outcomeBytes: _,
    token,
    principal,
    actor,
    fingerprint,
    ...rest
  } = JSON.parse(textOf(stored)) as Record<string, unknown> & {
    readonly token: { readonly epoch: number; readonly seq: string }
    readonly principal: string
    readonly actor: string
    readonly fingerprint: { readonly version: number; readonly keyId: number; readonly digest: string }
  }
  const seq = BigInt(token.seq)
  return {
    ...rest,
    ...(rest['state'] === 'completed' ? { outcome: outcome === undefined ? undefined : outcomeOf(outcome.value) } : {}),
    id,
    token: { epoch: token.epoch, seq: seq === ownRevision ? stored.modRevision : seq },
    principal: fromHex(principal),
    actor: fromHex(actor),
    fingerprint: { ...fingerprint, digest: fromHex(fingerprint.digest) },
  } as unknown as OncelyRecord
}

/** What a count of records needs to know. */
export function summaryOf(stored: KeyValue): { readonly state: OncelyRecord['state']; readonly outcomeBytes: number } {
  return JSON.parse(textOf(stored)) as { state: OncelyRecord['state']; outcomeBytes: number }
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

/** Undefined for an outcome that was cut short: the engine then refuses to replay. */
function outcomeOf(frame: Uint8Array): Outcome | undefined {
  const checksumBytes = frame[4]
  if (checksumBytes === undefined || frame.length < 5 + checksumBytes) return undefined
  return {
    codec: new DataView(frame.buffer, frame.byteOffset).getUint32(0),
    checksum: frame.slice(5, 5 + checksumBytes),
    bytes: frame.slice(5 + checksumBytes),
  }
}

type Line = Omit<TrailEntry, 'token' | 'count'> & { readonly epoch: number; readonly seq: string }

export function trailLine(entry: Omit<TrailEntry, 'token' | 'count'>, { epoch, seq }: FencingToken): string {
  return JSON.stringify({ ...entry, epoch, seq: String(seq) } satisfies Line)
}

/** The counts of duplicates: by minute and reason, and who wrote last. */
export interface Counts {
  readonly writeId: string
  readonly counts: Readonly<Record<string, number>>
}

export function countsOf(stored: KeyValue | undefined): Counts {
  return stored === undefined ? { writeId: '', counts: {} } : (JSON.parse(textOf(stored)) as Counts)
}

/** Lines in the order in which they were written, and counts between them by their minute. */
export function trailOf(lines: readonly KeyValue[], counted: KeyValue | undefined): readonly TrailEntry[] {
  let newestMs = 0
  const entries = lines.map((stored) => {
    const { epoch, seq, ...line } = JSON.parse(textOf(stored)) as Line
    const token = { epoch, seq: BigInt(seq) === ownRevision ? stored.createRevision : BigInt(seq) }
    newestMs = Math.max(newestMs, line.atMs)
    return { sortMs: newestMs, entry: { ...line, token: formatToken(token), count: 0 } }
  })
  for (const [minuteAndReason, count] of Object.entries(countsOf(counted).counts)) {
    const [minuteMs = '', ...reason] = minuteAndReason.split(' ')
    const told = { event: 'duplicates', token: '', attemptId: '', owner: '', traceId: '', reason: reason.join(' ') }
    entries.push({ sortMs: Number(minuteMs), entry: { ...told, atMs: Number(minuteMs), count } })
  }
  return entries.sort((a, b) => a.sortMs - b.sortMs).map(({ entry }) => entry)
}

function textOf({ value }: KeyValue): string {
  return new TextDecoder().decode(value)
}
