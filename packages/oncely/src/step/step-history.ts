import { codecIds, decodeValue, type EncodedValue, type Outcome, type StepHistory, type StepKind, type StepPoint } from '../core/index.ts'
import { mismatch, type Parked } from './step-error.ts'

/**
 * The recovery points that earlier attempts left, and which of them this attempt has met again. The handler must ask for the same
 * steps, in the same order and of the same kinds; whatever it does not ask for is found at its end.
 */
export class RecordedSteps {
  readonly #points: ReadonlyMap<string, StepPoint>
  readonly #met = new Set<string>()
  readonly #names = new Map<string, string>()
  readonly #open: (stored: Outcome | undefined) => EncodedValue

  constructor(history: StepHistory | undefined, open: (stored: Outcome | undefined) => EncodedValue) {
    this.#points = new Map((history?.points ?? []).map((point) => [point.path, point]))
    this.#open = open
  }

  /** The decision to reject, after which only undos run. */
  get rejection(): StepPoint | undefined {
    return this.#points.get(rejectionPath)
  }

  /** What is recorded for the step at this place, or undefined when it is new. Throws when the record says otherwise. */
  meet(path: string, kind: StepKind, name: string): StepPoint | undefined {
    const other = this.#names.get(name)
    if (other !== undefined)
      throw mismatch(
        `Step "${name}" is there twice (${other} and ${path}): each step of an operation has a name of its own, such as "charge-1".`,
      )
    this.#names.set(name, path)
    this.#met.add(path)
    const point = this.#points.get(path)
    if (point === undefined) {
      const later = [...this.#points.values()].find((recorded) => follows(recorded.path, path))
      if (later !== undefined)
        throw mismatch(`Step "${name}" at ${path} is new, but step "${later.name}" at ${later.path} is recorded after it. ${fix}`)
      return undefined
    }
    if (point.name !== name) throw mismatch(`Step ${path} is recorded as "${point.name}", and the handler asks for "${name}" there. ${fix}`)
    if (point.kind !== kind)
      throw mismatch(`Step "${name}" at ${path} is recorded as ${point.kind}, and the handler makes it ${kind}. ${fix}`)
    return point
  }

  /** The error of a handler that ended without asking for everything that is recorded. */
  unmet(): Parked | undefined {
    const left = [...this.#points.values()].find(({ path }) => !this.#met.has(path) && path !== rejectionPath && !path.startsWith('undo/'))
    return left && mismatch(`Step "${left.name}" at ${left.path} is recorded, and the handler ended without asking for it. ${fix}`)
  }

  valueOf(outcome: Outcome | undefined): unknown {
    const stored = this.#open(outcome)
    return stored.codec === codecIds.none ? undefined : decodeValue(stored)
  }
}

export const rejectionPath = 'rejection'

const fix = 'Give the changed handler a new version, and keep the old one defined until its operations are finished.'

/** Whether `path` is a later step of the same scope as `before`. */
function follows(path: string, before: string): boolean {
  const [scope, index] = split(before)
  // Undos go the other way, and which of them there are the steps decide.
  if (before.startsWith('undo/') || path.startsWith('undo/') || !path.startsWith(scope)) return false
  return Number.parseInt(path.slice(scope.length), 10) > index
}

function split(path: string): readonly [string, number] {
  const scope = path.slice(0, path.lastIndexOf('.') + 1)
  return [scope, Number(path.slice(scope.length))]
}
