import { isOncelyError } from 'oncely'
import pc from 'picocolors'

/** Where a command writes and what it reads of its surroundings. */
export interface Surroundings {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean }
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What the command ends with; docs/gateway.md lists the same numbers. */
export const exitCodes = {
  done: 0,
  /** The command ran and its answer is no: a check failed, a record was not as expected. */
  refused: 1,
  /** The command line is wrong. */
  usage: 2,
  /** No such record. */
  absent: 3,
  /** The store cannot be reached, is not migrated, or is too weak. */
  store: 4,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The exit code of an error: who has to change what. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!isOncelyError(error)) return exitCodes.refused
  switch (error.code) {
    case 'ONCELY_CONFIGURATION':
    case 'ONCELY_INVALID_INPUT':
    case 'ONCELY_KEY_INVALID':
    case 'ONCELY_PRINCIPAL_MISSING':
    case 'ONCELY_VALUE_NOT_STORABLE':
      return exitCodes.usage
    case 'ONCELY_STORE_UNAVAILABLE':
    case 'ONCELY_STORE_TOO_WEAK':
    case 'ONCELY_STORE_SCHEMA':
      return exitCodes.store
    default:
      return exitCodes.refused
  }
}

type Colors = ReturnType<typeof pc.createColors>

/** Colours for people, none for pipes and files. */
export function colorsOf({ stdout, env }: Surroundings): Colors {
  return pc.createColors(stdout.isTTY === true && env['NO_COLOR'] === undefined)
}

/** Two columns, aligned. */
export function table(rows: readonly (readonly [name: string, value: string])[]): string {
  const widest = Math.max(0, ...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `${name.padEnd(widest)}  ${value}\n`).join('')
}

/** One JSON document on one line; big integers and bytes as text. */
export function jsonLine(value: unknown): string {
  const plain = (_: string, member: unknown): unknown => (typeof member === 'bigint' ? member.toString() : member)
  return `${JSON.stringify(value, plain)}\n`
}
