import type { CanonicalOptions } from './canonical-options.ts'
import { exclusionsOfElement, exclusionsOfMember, isExcluded, type JsonExclusions, jsonExclusions } from './json-exclusion.ts'
import { canonicalNumber } from './json-number.ts'
import { limitBounds } from './limits.ts'
import { isWellFormed } from './utf8.ts'

/** Why a JavaScript value has no canonical JSON form. */
export type CanonicalValueRefusal =
  /** `undefined` where a value must stand, a function, a symbol, `NaN`, an infinity, an object that is neither plain nor an array. */
  | 'unsupported'
  | 'lone-surrogate'
  /** More than `jsonDepthMax` containers inside each other, or a value inside itself. */
  | 'depth'

export type CanonicalValue =
  | { readonly ok: true; readonly bytes: Uint8Array }
  /** `path` is the JSON pointer of the part that was refused. */
  | { readonly ok: false; readonly reason: CanonicalValueRefusal; readonly path: string }

/** A container being written: a stack linked outwards, so that depth costs no calls. */
interface Place {
  readonly outer: Place | undefined
  readonly depth: number
  readonly container: object
  /** The names of the members in canonical order, or the indexes of the elements. */
  readonly parts: readonly (string | number)[]
  readonly isArray: boolean
  readonly exclusions: JsonExclusions | undefined
  /** The part being written is `parts[nth]`. */
  nth: number
  empty: boolean
}

const encoder = new TextEncoder()

/**
 * The bytes that `canonicalJson` gives for the JSON text of this value. A bigint is an integer with all its digits; a member
 * that is `undefined` is absent. What JSON would drop or change in silence (a function, `NaN`, a `Date`, a `Map`, a hole) is refused.
 *
 * @throws ConfigurationError when `exclude` holds something that is not a JSON pointer.
 */
export function canonicalValue(value: unknown, options: CanonicalOptions = {}): CanonicalValue {
  const jsonDepthMax = options.jsonDepthMax ?? limitBounds.jsonDepthMax.preset
  let exclusions = options.exclude && jsonExclusions(options.exclude)
  let place: Place | undefined
  let part = value
  let text = ''
  for (;;) {
    if (typeof part === 'object' && part !== null) {
      const opened = open(part, place, exclusions, jsonDepthMax)
      if (typeof opened === 'string') return { ok: false, reason: opened, path: pathOf(place) }
      place = opened
      text += opened.isArray ? '[' : '{'
    } else {
      const scalar = scalarText(part)
      if (!scalar.ok) return { ok: false, reason: scalar.reason, path: pathOf(place) }
      text += scalar.text
    }

    let next = place && nextPart(place)
    while (place && !next) {
      text += place.isArray ? ']' : '}'
      place = place.outer
      next = place && nextPart(place)
    }
    if (!next) return { ok: true, bytes: encoder.encode(text) }
    text += next.lead
    part = next.value
    exclusions = next.exclusions
  }
}

function open(
  container: object,
  outer: Place | undefined,
  exclusions: JsonExclusions | undefined,
  jsonDepthMax: number,
): Place | CanonicalValueRefusal {
  const isArray = Array.isArray(container)
  if (!isArray && !isPlain(container)) return 'unsupported'
  if (Object.getOwnPropertySymbols(container).length > 0) return 'unsupported'
  const depth = outer ? outer.depth + 1 : 1
  if (depth > jsonDepthMax) return 'depth'
  // `sort` without a comparator orders by UTF-16 code units, as RFC 8785 §3.2.3 asks.
  const parts = isArray ? [...container.keys()] : Object.keys(container).sort()
  if (parts.some((part) => typeof part === 'string' && !isWellFormed(part))) return 'lone-surrogate'
  return { outer, depth, container, parts, isArray, exclusions, nth: -1, empty: true }
}

/** An object literal or one without prototype, of this realm or another. */
function isPlain(container: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(container)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Moves on to the next part that belongs to the canonical form. `lead` is what stands before its value. */
function nextPart(place: Place): { lead: string; value: unknown; exclusions: JsonExclusions | undefined } | undefined {
  for (;;) {
    place.nth++
    const part = place.parts[place.nth]
    if (part === undefined) return undefined
    const value: unknown = Reflect.get(place.container, part)
    if (value === undefined && !place.isArray) continue
    const exclusions = place.exclusions && exclusionsBelow(place.exclusions, part)
    if (isExcluded(exclusions)) continue
    const lead = (place.empty ? '' : ',') + (typeof part === 'string' ? `${JSON.stringify(part)}:` : '')
    place.empty = false
    return { lead, value, exclusions }
  }
}

function exclusionsBelow(exclusions: JsonExclusions, part: string | number): JsonExclusions | undefined {
  return typeof part === 'string' ? exclusionsOfMember(exclusions, part) : exclusionsOfElement(exclusions, part)
}

function scalarText(value: unknown): { ok: true; text: string } | { ok: false; reason: CanonicalValueRefusal } {
  switch (typeof value) {
    case 'string':
      // On well-formed text JSON.stringify escapes exactly what RFC 8785 §3.2.2.2 escapes.
      return isWellFormed(value) ? { ok: true, text: JSON.stringify(value) } : { ok: false, reason: 'lone-surrogate' }
    case 'number':
      return Number.isFinite(value) ? { ok: true, text: String(value) } : { ok: false, reason: 'unsupported' }
    case 'bigint':
      return { ok: true, text: canonicalNumber(String(value)) as string }
    case 'boolean':
      return { ok: true, text: String(value) }
    default:
      return value === null ? { ok: true, text: 'null' } : { ok: false, reason: 'unsupported' }
  }
}

/** RFC 6901. */
function pathOf(innermost: Place | undefined): string {
  let path = ''
  for (let place = innermost; place; place = place.outer) {
    path = `/${String(place.parts[place.nth]).replaceAll('~', '~0').replaceAll('/', '~1')}${path}`
  }
  return path
}
