/**
 * Length in bytes of the multi-byte UTF-8 sequence that starts at `at`, or 0 when none does: overlong forms, surrogates,
 * values beyond U+10FFFF and cut-off sequences are not UTF-8. (The Unicode Standard, table 3-7.)
 */
export function utf8SequenceLength(bytes: Uint8Array, at: number): 0 | 2 | 3 | 4 {
  const lead = bytes[at] as number
  const second = at + 1 < bytes.length ? (bytes[at + 1] as number) : 0
  if (lead < 0xc2 || lead > 0xf4 || !isContinuation(second)) return 0
  if (lead < 0xe0) return 2
  if (lead < 0xf0) {
    if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return 0
    return isContinuationAt(bytes, at + 2) ? 3 : 0
  }
  if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return 0
  return isContinuationAt(bytes, at + 2) && isContinuationAt(bytes, at + 3) ? 4 : 0
}

function isContinuationAt(bytes: Uint8Array, at: number): boolean {
  return at < bytes.length && isContinuation(bytes[at] as number)
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

/** Bytes that a text takes in UTF-8, without encoding it. A lone surrogate counts as three, like its replacement character. */
export function utf8Length(text: string): number {
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) length += 1
    else if (unit < 0x800) length += 2
    else if (isSurrogatePair(unit, text.charCodeAt(at + 1))) {
      length += 4
      at++
    } else length += 3
  }
  return length
}

/** False where a lone surrogate would be encoded as U+FFFD, and two different texts would become the same bytes. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

function isSurrogatePair(high: number, low: number): boolean {
  return high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff
}
