import { ConfigurationError } from 'oncely'
import type { HttpRoute } from 'oncely/http'

/** Finds the route of a path: the first pattern that matches, else the one for the rest. */
export class RouteTable {
  readonly rest: HttpRoute<never>
  readonly #routes: readonly (readonly [pattern: RegExp, route: HttpRoute<never>])[]

  constructor(rest: HttpRoute<never>, routes: readonly (readonly [path: string, route: HttpRoute<never>])[]) {
    this.rest = rest
    this.#routes = routes.map(([path, route]) => [patternOf(path), route])
  }

  find(path: string): HttpRoute<never> {
    if (this.#routes.length === 0) return this.rest
    const plain = decoded(path)
    return this.#routes.find(([pattern]) => pattern.test(plain))?.[1] ?? this.rest
  }
}

/** `/a/:b` matches one segment for `:b`; `/a/*` matches everything below `/a`. */
function patternOf(path: string): RegExp {
  if (!path.startsWith('/') || /[?#]/.test(path) || path.slice(0, -2).includes('*') || (path.includes('*') && !path.endsWith('/*')))
    throw new ConfigurationError(
      `Route ${JSON.stringify(path)} is no path; write /payments, /accounts/:id/payments, or /payments/* for all below it.`,
    )
  const below = path.endsWith('/*')
  const segments = (below ? path.slice(0, -2) : path).split('/').map((segment) => {
    if (segment.startsWith(':')) return '[^/]+'
    return segment.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${segments.join('/')}${below ? '/.+' : '/?'}$`)
}

/** Segments that are spelled with percent signs are the same segments. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
