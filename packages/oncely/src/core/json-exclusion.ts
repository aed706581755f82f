import { ConfigurationError } from './errors.ts'

/**
 * Volatile fields that do not belong to a request's identity (a timestamp, a trace id), named by JSON pointers.
 *
 * A path is an RFC 6901 pointer (`/meta/sentAt`, `~0` for `~`, `~1` for `/`). Inside an array the segment `*` stands for
 * every element and a number for one of them; inside an object every segment, `*` too, is the member of that name.
 */
export interface JsonExclusion {
  /** The value at this place is dropped. */
  readonly dropped: boolean
  readonly below: ReadonlyMap<string, JsonExclusion>
}

/** The exclusions that may still match below one place of the document; several because `*` and a number can both lead there. */
export type JsonExclusions = readonly JsonExclusion[]

interface GrowingExclusion extends JsonExclusion {
  dropped: boolean
  readonly below: Map<string, GrowingExclusion>
}

const readBefore = new WeakMap<readonly string[], JsonExclusions>()

/**
 * Reads a list of paths once; the same array object is answered from memory, so do not change it afterwards.
 *
 * @throws ConfigurationError when a path is not a pointer, or points at the whole document.
 */
export function jsonExclusions(paths: readonly string[]): JsonExclusions | undefined {
  if (paths.length === 0) return undefined
  const known = readBefore.get(paths)
  if (known) return known
  const root: GrowingExclusion = { dropped: false, below: new Map() }
  for (const path of paths) addPath(root, path)
  const exclusions = [root]
  readBefore.set(paths, exclusions)
  return exclusions
}

function addPath(root: GrowingExclusion, path: string): void {
  if (!path.startsWith('/')) {
    throw new ConfigurationError(
      `The excluded path ${JSON.stringify(path)} is not a JSON pointer to a part of the body: begin it with "/", as in "/meta/sentAt".`,
    )
  }
  let place = root
  for (const segment of path.slice(1).split('/')) {
    if (/~(?![01])/.test(segment)) {
      throw new ConfigurationError(
        `The excluded path ${JSON.stringify(path)} has a "~" that is neither "~0" nor "~1": write "~0" for "~" and "~1" for "/".`,
      )
    }
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~')
    let next = place.below.get(name)
    if (!next) {
      next = { dropped: false, below: new Map() }
      place.below.set(name, next)
    }
    place = next
  }
  place.dropped = true
}

/** What may match at and below the member of this name. */
export function exclusionsOfMember(exclusions: JsonExclusions, name: string): JsonExclusions | undefined {
  const matching = exclusions.flatMap(({ below }) => below.get(name) ?? [])
  return matching.length === 0 ? undefined : matching
}

/** What may match at and below the element at this index. */
export function exclusionsOfElement(exclusions: JsonExclusions, index: number): JsonExclusions | undefined {
  const matching = exclusions.flatMap(({ below }) => [below.get('*') ?? [], below.get(String(index)) ?? []].flat())
  return matching.length === 0 ? undefined : matching
}

export function isExcluded(exclusions: JsonExclusions | undefined): boolean {
  return exclusions?.some(({ dropped }) => dropped) ?? false
}
