import type { AbandonedRun, Outcome, StepHistory, StepKind, StepPoint, StepState } from '../core/index.ts'
import { bytesOf, numberOf, type Row, textOf } from './row.ts'

export const stepKindCodes: Readonly<Record<StepKind, number>> = { start: 0, transaction: 1, effect: 2, rejection: 3 }
export const stepStateCodes: Readonly<Record<StepState, number>> = { intended: 1, withdrawn: 2, done: 3 }

const kinds = Object.keys(stepKindCodes) as readonly StepKind[]
const states: readonly (StepState | undefined)[] = [undefined, 'intended', 'withdrawn', 'done']

/** The path of the row that holds version, payload and input. */
export const startPath = ''

/** The rows of one life of a record, each with the server's `now`; undefined without a start. */
export function stepHistory(rows: readonly Row[]): StepHistory | undefined {
  const start = rows.find((row) => textOf(row['path']) === startPath)
  if (start === undefined) return undefined
  return {
    version: Number(textOf(start['name'])),
    payload: bytesOf(start['payload']),
    input: outcomeOf(start),
    points: rows.filter((row) => row !== start).map(pointOf),
    nowMs: numberOf(start['now']),
  }
}

export function abandonedRun(row: Row): AbandonedRun {
  return { id: bytesOf(row['id']), operation: textOf(row['operation']), createdAtMs: numberOf(row['life']) }
}

function pointOf(row: Row): StepPoint {
  const kind = kinds[numberOf(row['kind'])]
  const state = states[numberOf(row['state'])]
  if (kind === undefined || state === undefined) throw new TypeError(`a recovery point has kind ${row['kind']} and state ${row['state']}`)
  const generation = numberOf(row['generation'])
  return {
    path: textOf(row['path']),
    kind,
    name: textOf(row['name']),
    state,
    call:
      generation === 0
        ? undefined
        : { key: textOf(row['remote_key']), generation, calledAtMs: numberOf(row['called']), expiresAtMs: numberOf(row['expires']) },
    value: outcomeOf(row),
  }
}

function outcomeOf(row: Row): Outcome | undefined {
  if (row['codec'] === null || row['codec'] === undefined) return undefined
  return { codec: numberOf(row['codec']), checksum: bytesOf(row['checksum']), bytes: bytesOf(row['bytes']) }
}
