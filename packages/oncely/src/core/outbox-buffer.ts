import { codecIds, encodeValue } from './codec.ts'
import { OutboxSealed, Unsupported, ValueNotStorable } from './errors.ts'
import type { Hasher } from './hasher.ts'
import { toHex } from './hex.ts'
import { lengthPrefixed } from './length-prefix.ts'
import type { Limits } from './limits.ts'
import { type Outbox, type OutboxDraft, type OutboxRow, outboxBuckets } from './outbox.ts'
import { isWellFormed, utf8Length } from './utf8.ts'

/** What a buffer is made from. */
export interface OutboxBufferParts {
  readonly hasher: Hasher
  readonly limits: Pick<Limits, 'outboxMessagesMax' | 'outboxBytesMax'>
  /** Whether the store keeps an outbox. */
  readonly supported: boolean
  /** What ids are derived from: the record's id, or a random text where there is no record. */
  readonly origin: Uint8Array | string
}

const nameBytesMax = 255

/**
 * The messages of one attempt, checked when they are sent and written with its completion.
 *
 *   open ──send──▶ open ──seal──▶ sealed (a late send throws)
 */
export class OutboxBuffer implements Outbox {
  readonly #parts: OutboxBufferParts
  readonly #rows: OutboxRow[] = []
  #bytes = 0
  #sealed = false

  constructor(parts: OutboxBufferParts) {
    this.#parts = parts
  }

  /** Not an async function: what is wrong is thrown in the handler even when it does not wait for the answer. */
  send(draft: OutboxDraft): Promise<string> {
    const { supported, limits, hasher, origin } = this.#parts
    if (this.#sealed)
      throw new OutboxSealed(
        'outbox.send was called after its attempt had ended: the message is not sent. Await every send in the handler.',
      )
    if (!supported)
      throw new Unsupported('This store keeps no outbox, so outbox.send has nothing to commit with; use PostgreSQL, MySQL or SQLite.')
    if (this.#rows.length >= limits.outboxMessagesMax)
      throw new ValueNotStorable(
        `outbox.send was called more than ${limits.outboxMessagesMax} times in one attempt; send fewer messages, or raise limits.outboxMessagesMax.`,
      )
    const row = outboxRow(hasher, origin, this.#rows.length, draft)
    this.#bytes += row.payload.length
    for (const [name, value] of Object.entries(row.headers)) this.#bytes += name.length + utf8Length(value)
    if (this.#bytes > limits.outboxBytesMax)
      throw new ValueNotStorable(
        `The messages of one attempt have ${this.#bytes} bytes, at most ${limits.outboxBytesMax} are kept; send a reference instead, or raise limits.outboxBytesMax.`,
      )
    this.#rows.push(row)
    return Promise.resolve(row.id)
  }

  /** Ends the attempt's sending and answers what it sent. */
  seal(): readonly OutboxRow[] {
    this.#sealed = true
    return this.#rows
  }
}

/**
 * A message with its stable id, ready for a store: the `index`th of its origin.
 *
 * @throws ValueNotStorable when it cannot be kept as it is.
 */
export function outboxRow(hasher: Hasher, origin: Uint8Array | string, index: number, draft: OutboxDraft): OutboxRow {
  const { topic, type = '', sink = '' } = draft
  checkName('topic', topic)
  if (type !== '') checkName('type', type)
  if (sink !== '') checkSinkName(sink)
  const id = uuidOf(hasher.sha256(lengthPrefixed(['oncely outbox message 1', origin, String(index)])))
  const aggregate = draft.aggregate ?? id
  checkName('aggregate', aggregate)
  const { codec, bytes } = encodeValue(draft.payload)
  if (codec === codecIds.none) throw new ValueNotStorable('outbox.send got no payload; send null where there is nothing to say.')
  const contentType = draft.contentType ?? (codec === codecIds.json ? 'application/json' : 'application/octet-stream')
  checkName('contentType', contentType)
  const [bucket = 0] = hasher.sha256(lengthPrefixed(['oncely outbox bucket 1', sink, aggregate]))
  // The handler may go on writing into its own bytes.
  const payload = codec === codecIds.bytes ? bytes.slice() : bytes
  return { id, bucket: bucket % outboxBuckets, sink, topic, aggregate, type, headers: checkedHeaders(draft.headers), contentType, payload }
}

/** @throws ValueNotStorable for a sink's name that is none. */
function checkSinkName(name: string): void {
  if (!isSinkName(name))
    throw new ValueNotStorable(`sink ${JSON.stringify(name)} is refused: use 1 to 64 letters, digits, dots, dashes or underscores.`)
}

export function isSinkName(name: unknown): boolean {
  return typeof name === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(name)
}

/** Names are compared by their bytes: no store trims, pads or folds them, so control characters are all that is refused. */
function checkName(what: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') throw new ValueNotStorable(`outbox.send needs a ${what} of 1 to ${nameBytesMax} bytes.`)
  if (value.length > nameBytesMax || utf8Length(value) > nameBytesMax)
    throw new ValueNotStorable(`The ${what} of a message is longer than ${nameBytesMax} bytes; use a shorter one.`)
  if (/\p{Cc}/u.test(value) || !isWellFormed(value))
    throw new ValueNotStorable(`The ${what} of a message has a control character or half a surrogate pair; use printable text.`)
}

function checkedHeaders(headers: OutboxDraft['headers']): Readonly<Record<string, string>> {
  const checked: [string, string][] = []
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name))
      throw new ValueNotStorable(
        `The header name ${JSON.stringify(name.slice(0, 140))} is refused: use 1 to 128 characters of an HTTP token.`,
      )
    if (typeof value !== 'string' || /\p{Cc}/u.test(value) || !isWellFormed(value))
      throw new ValueNotStorable(`The header "${name}" of a message must be text without control characters.`)
    checked.push([name, value])
  }
  return Object.fromEntries(checked)
}

/** A version 8 UUID: its bits are a digest. (RFC 9562, section 5.8.) */
function uuidOf(digest: Uint8Array): string {
  const bytes = digest.slice(0, 16)
  bytes[6] = 0x80 | ((bytes[6] as number) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f)
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
