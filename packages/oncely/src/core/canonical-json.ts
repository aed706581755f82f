import type { CanonicalOptions } from './canonical-options.ts'
import { copyBytes } from './copy-bytes.ts'
import { escapedUnit, plainTextEnd, writeCharacter } from './json-escape.ts'
import { exclusionsOfElement, exclusionsOfMember, isExcluded, type JsonExclusions, jsonExclusions } from './json-exclusion.ts'
import { compareNames, duplicateMember, type JsonMember, sortByName, writeMembers } from './json-member.ts'
import { canonicalNumber, digitsEnd, isDigit } from './json-number.ts'
import { limitBounds } from './limits.ts'
import { utf8SequenceLength } from './utf8.ts'

// Canonical JSON from raw bytes: member order and string escapes of RFC 8785, without its losses.
//
// One pass reads the input and copies runs of it that are canonical as written; only what is written otherwise (white space, an
// escape, `1.50`) ends a run. When an object closes whose members came in another order, its members, canonical already, change
// places inside the output. Nothing is parsed into JavaScript values, so nothing collapses: not 9007199254740993 into its
// neighbour, not the first of two equal members, not a member named `__proto__`.
// States: value → settle → (value | member → value | closed → settle) … → end. `place` is the stack, linked outwards, so depth costs no calls.

export { canonicalValue } from './canonical-value.ts'

/** Why bytes have no canonical form: an expected answer to a client's input, not an error. */
export type CanonicalJsonRefusal =
  | 'byte-order-mark'
  | 'invalid-utf8'
  | 'lone-surrogate'
  | 'syntax'
  | 'duplicate-member'
  /** More than `jsonDepthMax` containers inside each other. */
  | 'depth'
  /** An exponent of more than 15 digits. */
  | 'number-range'

export type CanonicalJson =
  | { readonly ok: true; readonly bytes: Uint8Array }
  /** `offset` counts bytes of the input. */
  | { readonly ok: false; readonly reason: CanonicalJsonRefusal; readonly offset: number }

/**
 * The canonical UTF-8 form of a JSON document: two documents get the same bytes exactly when they hold the same members with
 * the same values. Order of members, white space, spelling of escapes and of numbers (`1`, `1.0`, `1e0`; `-0` and `0`) do not count.
 *
 * Equal to RFC 8785 wherever RFC 8785 loses nothing; numbers that a double cannot carry keep all their digits in the same layout.
 * Duplicate members, lone surrogates, a byte order mark and invalid UTF-8 are refused, never repaired.
 *
 * The bytes are a view of the input where it is canonical already: change neither.
 *
 * @throws ConfigurationError when `exclude` holds something that is not a JSON pointer.
 */
export function canonicalJson(input: Uint8Array, options: CanonicalOptions = {}): CanonicalJson {
  const exclusions = options.exclude && jsonExclusions(options.exclude)
  return new CanonicalForm(input, options.jsonDepthMax ?? limitBounds.jsonDepthMax.preset, exclusions).read()
}

const QUOTE = 0x22
const COMMA = 0x2c
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const SLASH = 0x2f
const ZERO = 0x30
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const LETTER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const END = -1

const LITERALS: ReadonlyMap<number, Uint8Array> = new Map(
  ['true', 'false', 'null'].map((word) => [word.charCodeAt(0), Uint8Array.from(word, (letter) => letter.charCodeAt(0))]),
)
const NOTHING = new Uint8Array(0)
const decoder = new TextDecoder()

/** An open array or object. */
interface Place {
  readonly outer: Place | undefined
  readonly depth: number
  /** The members read so far; `undefined` for an array. */
  readonly members: JsonMember[] | undefined
  /** In the output, after the opening bracket. */
  readonly start: number
  readonly exclusions: JsonExclusions | undefined
  /** The members are in order and all of them stay. */
  settled: boolean
  elementCount: number
  /** Where in the output the current element begins, with the comma before it, if it is to be dropped; else −1. */
  droppedFrom: number
}

class CanonicalForm {
  private readonly input: Uint8Array
  private readonly jsonDepthMax: number
  private at = 0
  /** The run of the input from here to `at` is canonical as written and not copied yet. */
  private runFrom = 0
  /** At least as many bytes are free in it as are left of the input; only numbers can grow (`1e20`), and they make room. */
  private output: Uint8Array = NOTHING
  /** Of what has been copied. */
  private length = 0
  /** Where the members of an object lie while they change places. */
  private aside: Uint8Array = NOTHING
  /** The innermost open container. */
  private place: Place | undefined
  /** What may match at the value that comes next. */
  private exclusions: JsonExclusions | undefined
  private refusal: { reason: CanonicalJsonRefusal; offset: number } | undefined

  constructor(input: Uint8Array, jsonDepthMax: number, exclusions: JsonExclusions | undefined) {
    this.input = input
    this.jsonDepthMax = jsonDepthMax
    this.exclusions = exclusions
  }

  read(): CanonicalJson {
    const { input } = this
    if (input[0] === 0xef && input[1] === 0xbb && input[2] === 0xbf) this.refuse('byte-order-mark', 0)
    else if (this.readDocument() && this.peek() !== END) this.refuse('syntax')
    if (this.refusal) return { ok: false, ...this.refusal }
    if (this.output === NOTHING) return { ok: true, bytes: input.subarray(this.runFrom, this.at) }
    this.endRun()
    return { ok: true, bytes: this.output.subarray(0, this.length) }
  }

  /** The length of the output when the run is copied. */
  private get lengthSoFar(): number {
    return this.length + this.at - this.runFrom
  }

  /** Copies the run; the next one begins at `at`. */
  private endRun(): void {
    if (this.output === NOTHING) this.output = new Uint8Array(this.input.length)
    copyBytes(this.input, this.runFrom, this.at, this.output, this.length)
    this.length += this.at - this.runFrom
    this.runFrom = this.at
  }

  /** Leaves this many bytes of the input out of the run. */
  private skip(byteCount: number): void {
    this.endRun()
    this.at += byteCount
    this.runFrom = this.at
  }

  private readDocument(): boolean {
    do {
      if (!this.readValue()) return false
      if (!this.settle()) return false
    } while (this.place)
    return true
  }

  /** Reads one scalar, or opens a container and goes to its first value; an empty container is left open for `settle`. */
  private readValue(): boolean {
    for (;;) {
      const first = this.peek()
      if (first === QUOTE) return this.readString()
      if (first !== OPEN_OBJECT && first !== OPEN_ARRAY)
        return first === MINUS || isDigit(first) ? this.readNumber() : this.readLiteral(first)
      if (!this.open(first)) return false
      const next = this.peek()
      if (next === (first === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY)) return true
      if (!this.beginPart(this.place as Place, next)) return false
    }
  }

  /** After a value: closes every container that ends here, and begins the part that follows the next comma. */
  private settle(): boolean {
    for (;;) {
      const { place } = this
      if (!place) return true
      this.endPart(place)
      const next = this.peek()
      if (next === COMMA) {
        if (place.exclusions && this.lengthSoFar === place.start) this.skip(1)
        else this.at++
        return this.beginPart(place, this.peek())
      }
      if (next !== (place.members ? CLOSE_OBJECT : CLOSE_ARRAY)) return this.refuse('syntax')
      if (place.members && !place.settled && !this.putInOrder(place, place.members)) return false
      this.at++
      this.place = place.outer
    }
  }

  private open(bracket: number): boolean {
    const depth = this.place ? this.place.depth + 1 : 1
    if (depth > this.jsonDepthMax) return this.refuse('depth')
    this.at++
    this.place = {
      outer: this.place,
      depth,
      members: bracket === OPEN_OBJECT ? [] : undefined,
      start: this.lengthSoFar,
      exclusions: this.exclusions,
      settled: true,
      elementCount: 0,
      droppedFrom: -1,
    }
    return true
  }

  private beginPart(place: Place, first: number): boolean {
    if (place.members) return first === QUOTE ? this.readName(place, place.members) : this.refuse('syntax')
    if (place.exclusions) {
      this.exclusions = exclusionsOfElement(place.exclusions, place.elementCount++)
      if (isExcluded(this.exclusions)) {
        place.droppedFrom = Math.max(place.start, this.lengthSoFar - 1)
        this.exclusions = undefined
      }
    }
    return true
  }

  private readName(place: Place, members: JsonMember[]): boolean {
    const start = this.lengthSoFar
    const inputOffset = this.at
    if (!this.readString()) return false
    let name = this.input
    let nameStart = inputOffset
    let nameEnd = this.at
    if (this.runFrom > inputOffset) {
      // An escape was spelt otherwise: the name's canonical bytes are in the output only.
      this.endRun()
      name = this.output.slice(start, this.length)
      nameStart = 0
      nameEnd = name.length
    }
    if (this.peek() !== COLON) return this.refuse('syntax')

    let dropped = false
    if (place.exclusions) {
      const exclusions = exclusionsOfMember(place.exclusions, JSON.parse(decoder.decode(name.subarray(nameStart, nameEnd))))
      dropped = isExcluded(exclusions)
      this.exclusions = dropped ? undefined : exclusions
    }
    const member: JsonMember = { start, end: 0, name, nameStart, nameEnd, inputOffset, dropped }
    if (dropped) {
      place.settled = false
    } else if (place.settled && members.length > 0) {
      const order = compareNames(members.at(-1) as JsonMember, member)
      if (order === 0) return this.refuse('duplicate-member', inputOffset)
      if (order > 0) place.settled = false
    }
    members.push(member)
    this.at++
    return true
  }
  private endPart(place: Place): void {
    const member = place.members?.at(-1)
    if (member?.dropped || place.droppedFrom >= 0) {
      this.endRun()
      this.length = member ? member.start : place.droppedFrom
      place.droppedFrom = -1
    }
    if (member) member.end = this.lengthSoFar
  }

  /** Sorts the members of a closing object inside the output, leaves out the dropped ones, and finds equal names. */
  private putInOrder(place: Place, members: JsonMember[]): boolean {
    sortByName(members)
    const duplicate = duplicateMember(members)
    if (duplicate) return this.refuse('duplicate-member', duplicate.inputOffset)
    this.endRun()
    const unorderedLength = this.length - place.start
    if (this.aside.length < unorderedLength) this.aside = new Uint8Array(Math.max(unorderedLength, 2 * this.aside.length))
    copyBytes(this.output, place.start, this.length, this.aside, 0)
    this.length = writeMembers(members, this.aside, this.output, place.start)
    return true
  }

  private readString(): boolean {
    const { input } = this
    const end = input.length
    let at = this.at + 1
    for (;;) {
      at = plainTextEnd(input, at)
      if (at >= end) return this.refuse('syntax', end)
      const byte = input[at] as number
      if (byte === QUOTE) break
      if (byte === BACKSLASH) {
        this.at = at
        if (!this.readEscape()) return false
        at = this.at
      } else {
        if (byte < 0x20) return this.refuse('syntax', at)
        const sequence = utf8SequenceLength(input, at)
        if (sequence === 0) return this.refuse('invalid-utf8', at)
        at += sequence
      }
    }
    this.at = at + 1
    return true
  }

  private readEscape(): boolean {
    const { input, at } = this
    const unit = escapedUnit(input, at)
    if (unit < 0) return this.refuse('syntax')
    const letter = input[at + 1]
    if (letter !== LETTER_U && letter !== SLASH) {
      this.at += 2
      return true
    }
    let inputLength = letter === LETTER_U ? 6 : 2
    let character = unit
    if (unit >= 0xd800 && unit <= 0xdfff) {
      const low = escapedUnit(input, at + inputLength)
      if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) return this.refuse('lone-surrogate')
      inputLength += 6
      character = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
    }
    this.skip(inputLength)
    this.length = writeCharacter(character, this.output, this.length)
    return true
  }

  private readNumber(): boolean {
    const { input } = this
    const start = this.at
    const wholeAt = input[start] === MINUS ? start + 1 : start
    let at = digitsEnd(input, wholeAt)
    const wholeDigits = at - wholeAt
    const startsWithZero = input[wholeAt] === ZERO
    if (wholeDigits === 0 || (startsWithZero && wholeDigits > 1)) return this.refuse('syntax', wholeAt)

    let asWritten = wholeDigits <= 21
    if (input[at] === POINT) {
      const fractionAt = at + 1
      at = digitsEnd(input, fractionAt)
      if (at === fractionAt) return this.refuse('syntax', at)
      asWritten &&= input[at - 1] !== ZERO && !(startsWithZero && input[fractionAt] === ZERO)
    } else if (startsWithZero && wholeAt > start) {
      asWritten = false
    }
    if (input[at] === 0x65 || input[at] === 0x45) {
      const sign = input[at + 1]
      const exponentAt = sign === MINUS || sign === PLUS ? at + 2 : at + 1
      at = digitsEnd(input, exponentAt)
      if (at === exponentAt) return this.refuse('syntax', at)
      asWritten = false
    }
    if (!asWritten) return this.rewriteNumber(at)
    this.at = at
    return true
  }

  private rewriteNumber(end: number): boolean {
    const written = decoder.decode(this.input.subarray(this.at, end))
    const text = canonicalNumber(written)
    if (text === undefined) return this.refuse('number-range')
    if (text === written) {
      this.at = end
      return true
    }
    this.skip(end - this.at)
    const needed = this.length + text.length + this.input.length - end
    if (needed > this.output.length) {
      const larger = new Uint8Array(needed + (this.output.length >> 1))
      larger.set(this.output)
      this.output = larger
    }
    for (let nth = 0; nth < text.length; nth++) this.output[this.length++] = text.charCodeAt(nth)
    return true
  }

  private readLiteral(first: number): boolean {
    const literal = LITERALS.get(first)
    if (!literal) return this.refuse('syntax')
    for (const letter of literal) {
      if (this.input[this.at] !== letter) return this.refuse('syntax')
      this.at++
    }
    return true
  }

  /** The next byte that is not white space, left unread; −1 at the end. */
  private peek(): number {
    const { input } = this
    const end = input.length
    let { at } = this
    while (at < end && isWhiteSpace(input[at] as number)) at++
    if (at > this.at) this.skip(at - this.at)
    return at < end ? (input[at] as number) : END
  }

  private refuse(reason: CanonicalJsonRefusal, offset: number = this.at): false {
    this.refusal = { reason, offset }
    return false
  }
}

function isWhiteSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
