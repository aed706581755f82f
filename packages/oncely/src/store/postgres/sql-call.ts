import type { SqlValue } from '../../core/index.ts'

/** An argument of one of our functions, as a literal and as a bound parameter. */
export interface SqlArgument {
  readonly literal: string
  readonly value: SqlValue
}

/** One call of one of our functions. */
export interface SqlCall {
  /** With literals that we produced, to ride in a message with BEGIN or COMMIT. */
  readonly literal: string
  /** With parameters, for a statement of its own. */
  readonly bound: { readonly text: string; readonly values: readonly SqlValue[] }
}

export function sqlCall(name: string, given: readonly SqlArgument[]): SqlCall {
  return {
    get literal() {
      return `SELECT ${name}(${given.map(({ literal }) => literal).join(', ')}) AS answer`
    },
    get bound() {
      const places = given.map((_, index) => `$${index + 1}`).join(', ')
      return { text: `SELECT ${name}(${places}) AS answer`, values: given.map(({ value }) => value) }
    },
  }
}

export const nothing: SqlArgument = { literal: 'NULL', value: null }

/** An escape string means the same under every server setting, and takes no function call to plan. */
export function bytes(value: Uint8Array): SqlArgument {
  return {
    get literal() {
      return `E'\\\\x${hexOf(value)}'`
    },
    value,
  }
}

/** Half a megabyte takes the platform 0.3 ms, a loop in JavaScript ten times as long. */
export function hexOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
}

/** Text that no server can store (a zero character) is kept legible instead of failing the write it only describes. */
export function text(value: string): SqlArgument {
  const storable = value.replaceAll('\u0000', '\ufffd')
  const plain = /^[\w .,:;@/+-]*$/.test(storable)
  return { literal: plain ? `'${storable}'` : `convert_from(decode('${hexOf(Buffer.from(storable))}', 'hex'), 'UTF8')`, value: storable }
}

/** A whole number; a fraction of a millisecond is rounded up. */
export function integer(value: number | bigint): SqlArgument {
  const whole = typeof value === 'bigint' ? value : Math.ceil(value)
  if (typeof whole === 'number' && !Number.isSafeInteger(whole)) throw new TypeError(`${value} is no whole number below 2^53.`)
  // Quoted, so that it takes the parameter's own type: a bare number is an integer or a bigint by its size.
  return { literal: `'${whole}'`, value: String(whole) }
}

export function uuid(value: string): SqlArgument {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) throw new TypeError('An attempt id must be a UUID in lower case.')
  return { literal: `'${value}'`, value }
}

export function flag(value: boolean): SqlArgument {
  return { literal: String(value), value }
}
