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
  /** The same as one more column of another SELECT. */
  readonly expression: string
  /** With parameters, for a statement of its own. */
  readonly bound: { readonly text: string; readonly values: readonly SqlValue[] }
}

export function sqlCall(name: string, given: readonly SqlArgument[]): SqlCall {
  return new FunctionCall(name, given)
}

/** Only one of the forms is ever asked for; a class, as an object literal with getters is made ten times as slowly. */
class FunctionCall implements SqlCall {
  readonly #name: string
  readonly #given: readonly SqlArgument[]

  constructor(name: string, given: readonly SqlArgument[]) {
    this.#name = name
    this.#given = given
  }

  get literal(): string {
    return `SELECT ${this.expression}`
  }

  get expression(): string {
    let list = ''
    for (const { literal } of this.#given) list += list === '' ? literal : `, ${literal}`
    return `${this.#name}(${list}) AS answer`
  }

  get bound(): SqlCall['bound'] {
    const places = this.#given.map((_, index) => `$${index + 1}`).join(', ')
    return { text: `SELECT ${this.#name}(${places}) AS answer`, values: this.#given.map(({ value }) => value) }
  }
}

export const nothing: SqlArgument = { literal: 'NULL', value: null }

/** An escape string means the same under every server setting, and takes no function call to plan. */
export function bytes(value: Uint8Array): SqlArgument {
  return new Bytes(value)
}

class Bytes implements SqlArgument {
  readonly value: Uint8Array

  constructor(value: Uint8Array) {
    this.value = value
  }

  get literal(): string {
    return `E'\\\\x${hexOf(this.value)}'`
  }
}

/** Half a megabyte takes the platform 0.3 ms, a loop in JavaScript ten times as long. */
export function hexOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
}

/** Text that no server can store (a zero character) is kept legible instead of failing the write it only describes. */
export function text(value: string): SqlArgument {
  if (value === '') return noText
  const storable = value.replaceAll('\u0000', '\ufffd')
  const plain = /^[\w .,:;@/+-]*$/.test(storable)
  return { literal: plain ? `'${storable}'` : `convert_from(decode('${hexOf(Buffer.from(storable))}', 'hex'), 'UTF8')`, value: storable }
}

const noText: SqlArgument = { literal: "''", value: '' }

/** A whole number; a fraction of a millisecond is rounded up. */
export function integer(value: number | bigint): SqlArgument {
  const whole = typeof value === 'bigint' ? value : Math.ceil(value)
  if (typeof whole === 'number' && !Number.isSafeInteger(whole)) throw new TypeError(`${value} is no whole number below 2^53.`)
  // Quoted, so that it takes the parameter's own type: a bare number is an integer or a bigint by its size.
  const digits = String(whole)
  return { literal: `'${digits}'`, value: digits }
}

export function uuid(value: string): SqlArgument {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) throw new TypeError('An attempt id must be a UUID in lower case.')
  return { literal: `'${value}'`, value }
}

export function flag(value: boolean): SqlArgument {
  return value ? yes : no
}

const yes: SqlArgument = { literal: 'true', value: true }
const no: SqlArgument = { literal: 'false', value: false }
