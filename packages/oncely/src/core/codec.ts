import { OutcomeCorrupt, ValueNotStorable } from './errors.ts'
import type { Hasher } from './hasher.ts'
import { type Outcome, sameBytes } from './outcome.ts'

/**
 * The value frame: a codec's number and its bytes. A value that would not come back equal is refused, because a replay must be
 * the first answer and not a similar one. Numbers are stored for years: one is never given to another codec.
 */
export const codecIds = { none: 0, json: 1, bytes: 2, http: 3, jsonRejection: 4, notStored: 5, httpNotStored: 6, encrypted: 7 } as const

/** A value in the form it is stored in. */
export interface EncodedValue {
  readonly codec: number
  readonly bytes: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })
const empty = new Uint8Array(0)

/** Encodes what `run` returns: undefined, bytes, or a value that JSON carries without loss. */
export function encodeValue(value: unknown): EncodedValue {
  if (value === undefined) return { codec: codecIds.none, bytes: empty }
  if (value instanceof Uint8Array) return { codec: codecIds.bytes, bytes: value }
  checkJson(value, '', 0)
  return { codec: codecIds.json, bytes: encoder.encode(JSON.stringify(value)) }
}

/** Encodes what a handler rejected with. */
export function encodeRejectedValue(value: unknown): EncodedValue {
  checkJson(value, '', 0)
  return { codec: codecIds.jsonRejection, bytes: encoder.encode(JSON.stringify(value)) }
}

/** The value that `encodeValue` or `encodeRejectedValue` stored. */
export function decodeValue(stored: EncodedValue): unknown {
  switch (stored.codec) {
    case codecIds.none:
    case codecIds.notStored:
      return undefined
    case codecIds.bytes:
      return stored.bytes
    case codecIds.json:
    case codecIds.jsonRejection:
      return JSON.parse(decoder.decode(stored.bytes))
    default:
      throw new OutcomeCorrupt(
        `The stored outcome has codec ${stored.codec}, which run() does not read; it was recorded through another entry point.`,
      )
  }
}

/** The outcome with its checksum, ready for a store. */
export function sealOutcome(value: EncodedValue, hasher: Hasher): Outcome {
  return { codec: value.codec, bytes: value.bytes, checksum: checksum(value, hasher) }
}

/** The value of a stored outcome, or `OutcomeCorrupt` when it is missing or its bytes changed. */
export function openOutcome(outcome: Outcome | undefined, hasher: Hasher): EncodedValue {
  if (outcome === undefined)
    throw new OutcomeCorrupt(
      'The record is completed but its outcome is missing before its retention ended; restore it, or resolve the record by hand.',
    )
  if (!sameBytes(outcome.checksum, checksum(outcome, hasher))) {
    throw new OutcomeCorrupt(
      `The stored outcome (${outcome.bytes.length} bytes, codec ${outcome.codec}) fails its checksum; restore it, or resolve the record by hand.`,
    )
  }
  return outcome
}

function checksum(value: EncodedValue, hasher: Hasher): Uint8Array {
  const framed = new Uint8Array(value.bytes.length + 1)
  framed[0] = value.codec
  framed.set(value.bytes, 1)
  return hasher.sha256(framed).subarray(0, 16)
}

const depthMax = 500

/** Refuses what JSON would change on the way: the first caller and the replay must get equal values. */
function checkJson(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
      if (!isWellFormed(value)) refuse(path, 'a string with a lone surrogate')
      return
    case 'boolean':
      return
    case 'number':
      if (!Number.isFinite(value) || Object.is(value, -0)) refuse(path, Object.is(value, -0) ? '-0' : String(value))
      return
    case 'object':
      if (value === null) return
      if (depth === depthMax) refuse(path, `nesting deeper than ${depthMax} (or a cycle)`)
      if (Array.isArray(value)) checkArray(value, path, depth)
      else checkObject(value, path, depth)
      return
    default:
      refuse(path, `a ${typeof value}`)
  }
}

function checkArray(value: readonly unknown[], path: string, depth: number): void {
  for (let index = 0; index < value.length; index++) checkJson(value[index], `${path}/${index}`, depth + 1)
}

function checkObject(value: object, path: string, depth: number): void {
  const prototype = Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null
  if (prototype !== Object.prototype && prototype !== null) refuse(path, `an instance of ${prototype.constructor?.name ?? 'a class'}`)
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') refuse(path, 'an object with toJSON')
  if (Object.getOwnPropertySymbols(value).length > 0) refuse(path, 'an object with symbol members')
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__') refuse(`${path}/${name}`, 'a member named __proto__')
    checkJson(member, `${path}/${name}`, depth + 1)
  }
}

function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)
}

function refuse(path: string, what: string): never {
  throw new ValueNotStorable(
    `The value at ${path === '' ? 'the top' : path} is ${what}, which would not come back equal from the store. Return plain JSON data, bytes (Uint8Array) or undefined.`,
  )
}
