/**
 * Values as literals that we produced. They mean the same under every `sql_mode` and character set, and hold no character that a
 * driver could take for a placeholder.
 */
export const nothing = 'NULL'

export function bytes(value: Uint8Array): string {
  return `X'${hexOf(value)}'`
}

/** Half a megabyte takes the platform 0.3 ms, a loop in JavaScript ten times as long. */
export function hexOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
}

export function text(value: string): string {
  return `_utf8mb4 X'${hexOf(Buffer.from(value))}'`
}

/** A whole number; a fraction of a millisecond is rounded up. */
export function integer(value: number | bigint): string {
  const whole = typeof value === 'bigint' ? value : Math.ceil(value)
  if (typeof whole === 'number' && !Number.isSafeInteger(whole)) throw new TypeError(`${value} is no whole number below 2^53.`)
  return String(whole)
}

export function uuid(value: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) throw new TypeError('An attempt id must be a UUID in lower case.')
  return `'${value}'`
}

export function flag(value: boolean): string {
  return value ? '1' : '0'
}
