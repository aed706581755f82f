import { ConfigurationError } from 'oncely'
import type { HttpRoute } from 'oncely/http'

/** Finds the route of a path: the first pattern that matches, else the one for the rest. */
export class RouteTable {
  readonly rest: HttpRoute<never>
  readonly #routes: readonly (readonly [pattern: PathPattern, route: HttpRoute<never>])[]

  constructor(rest: HttpRoute<never>, routes: readonly (readonly [path: string, route: HttpRoute<never>])[]) {
    this.rest = rest
    this.#routes = routes.map(([path, route]) => [patternOf(path), route])
  }

  find(path: string): HttpRoute<never> {
    if (this.#routes.length === 0) return this.rest
    const segments = path.split('/').map(decoded)
    return this.#routes.find(([pattern]) => matches(pattern, segments))?.[1] ?? this.rest
  }
}

interface PathPattern {
  /** The text of each segment; undefined for any that is not empty. */
  readonly segments: readonly (string | undefined)[]
  readonly below: boolean
}

/** `/a/:b` matches one segment for `:b`; `/a/*` matches everything below `/a`. */
function patternOf(path: string): PathPattern {
  if (!path.startsWith('/') || /[?#]/.test(path) || path.slice(0, -2).includes('*') || (path.includes('*') && !path.endsWith('/*')))
    throw new ConfigurationError(
      `Route ${JSON.stringify(path)} is no path; write /payments, /accounts/:id/payments, or /payments/* for all below it.`,
    )
  const below = path.endsWith('/*')
  const segments = (below ? path.slice(0, -2) : path).split('/').map((segment) => (segment.startsWith(':') ? undefined : segment))
  return { segments, below }
}

/** A slash at the end is no further segment. */
function matches({ segments, below }: PathPattern, path: readonly string[]): boolean {
  const rest = path.slice(segments.length)
  const fits = below
    ? rest.some((segment) => segment !== '') || rest.length > 1
    : rest.every((segment) => segment === '') && rest.length <= 1
  return fits && segments.every((segment, nth) => (segment === undefined ? path[nth] : path[nth] === segment))
}

/** A segment that is spelled with percent signs is the same segment; a slash spelled so does not end it. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
