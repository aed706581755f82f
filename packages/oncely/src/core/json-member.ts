import { copyBytes } from './copy-bytes.ts'
import { escapedUnit } from './json-escape.ts'

/** A member of an object that is being put into canonical form. */
export interface JsonMember {
  /** In the output, of the quote that opens the name. */
  readonly start: number
  /** In the output, after the value. */
  end: number
  /** Where the canonical bytes of the name lie, quotes included: in the input, unless it spells an escape otherwise. */
  readonly name: Uint8Array
  readonly nameStart: number
  readonly nameEnd: number
  readonly inputOffset: number
  /** To be left out. */
  readonly dropped: boolean
}

const COMMA = 0x2c
const BACKSLASH = 0x5c
/** Up to this many members a plain insertion sort is faster than `Array.prototype.sort`. */
const INSERTION_SORT_MAX = 24

/**
 * Order of two names by UTF-16 code units, read from their canonical bytes. UTF-8 keeps that order but for two cases: a byte
 * from F0 leads a surrogate pair (D800 to DFFF), which comes before U+E000 to U+FFFF (led by EE and EF), and an escape stands
 * for the code it names.
 */
export function compareNames(one: JsonMember, other: JsonMember): number {
  const oneLength = one.nameEnd - one.nameStart - 1
  const otherLength = other.nameEnd - other.nameStart - 1
  const shorter = Math.min(oneLength, otherLength)
  for (let nth = 1; nth < shorter; nth++) {
    let left = one.name[one.nameStart + nth] as number
    let right = other.name[other.nameStart + nth] as number
    if (left === BACKSLASH || right === BACKSLASH) {
      if (left === BACKSLASH) left = escapedUnit(one.name, one.nameStart + nth)
      if (right === BACKSLASH) right = escapedUnit(other.name, other.nameStart + nth)
      // Equal units have equal escapes: their digits compare as the plain bytes they are, but a letter could be a backslash.
      if (left === right) nth++
    }
    if (left !== right) {
      const pairAgainstPrivateUse = left >= 0xee && right >= 0xee && left >= 0xf0 !== right >= 0xf0
      return pairAgainstPrivateUse ? right - left : left - right
    }
  }
  return oneLength - otherLength
}

export function sortByName(members: JsonMember[]): void {
  if (members.length > INSERTION_SORT_MAX) {
    members.sort((one, other) => compareNames(one, other))
    return
  }
  for (let nth = 1; nth < members.length; nth++) {
    const member = members[nth] as JsonMember
    let to = nth
    while (to > 0 && compareNames(members[to - 1] as JsonMember, member) > 0) {
      members[to] = members[to - 1] as JsonMember
      to--
    }
    members[to] = member
  }
}

/** The later of two sorted members with one name. */
export function duplicateMember(sorted: readonly JsonMember[]): JsonMember | undefined {
  for (let nth = 1; nth < sorted.length; nth++) {
    const one = sorted[nth - 1] as JsonMember
    const next = sorted[nth] as JsonMember
    if (compareNames(one, next) === 0) return one.inputOffset > next.inputOffset ? one : next
  }
  return undefined
}

/** Writes the members that stay, in this order, from a copy of their object's content; returns the place after them. */
export function writeMembers(members: readonly JsonMember[], content: Uint8Array, output: Uint8Array, start: number): number {
  let end = start
  for (const member of members) {
    if (member.dropped) continue
    if (end > start) output[end++] = COMMA
    copyBytes(content, member.start - start, member.end - start, output, end)
    end += member.end - member.start
  }
  return end
}
