const HEX_OF_BYTE: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hexadecimal, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at++) text += HEX_OF_BYTE[bytes[at] as number]
  return text
}

/**
 * The bytes that hexadecimal digits of either case stand for.
 *
 * @throws TypeError when the text has an odd length or another character.
 */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1)
  if (text.length % 2 !== 0) throw new TypeError(`Hexadecimal text has ${text.length} digits: two a byte are needed.`)
  for (let at = 0; at < bytes.length; at++) {
    const value = (digitValue(text.charCodeAt(2 * at)) << 4) | digitValue(text.charCodeAt(2 * at + 1))
    if (value < 0)
      throw new TypeError(`Hexadecimal text has another character at digit ${2 * at} or ${2 * at + 1}: only 0-9, a-f and A-F are digits.`)
    bytes[at] = value
  }
  return bytes
}

function digitValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
