import type { Request } from 'express'
import type { RecordSummary } from '../../core/index.ts'
import { type Principal, type RequestFacts, requestBody } from '../../http/index.ts'

/** Who calls a route. */
export interface CallerOptions {
  /**
   * The verified caller, stable over credential rotation (an account id, not a token), or `anonymous` where every caller may
   * share keys. Called for requests with a key, after the route's own authentication.
   */
  principal(request: Request): Principal | Promise<Principal>
  /** Who acts for the principal; with `replayTo: 'actor'` nobody else gets the replay. */
  actor?(request: Request): string | undefined
  /** Asked again before every replay; false answers 403. */
  authorizeReplay?(request: Request, record: RecordSummary): boolean | Promise<boolean>
}

/** What the contract needs to know about an Express request. */
export function expressFacts(request: Request, caller: CallerOptions, bodyBytesMax: number): RequestFacts {
  const { authorizeReplay } = caller
  const queryAt = request.originalUrl.indexOf('?') + 1
  return {
    method: request.method,
    route: routeOf(request),
    parameters: parametersOf(request),
    query: queryAt === 0 || queryAt === request.originalUrl.length ? undefined : request.originalUrl.slice(queryAt),
    headers: request.rawHeaders,
    body: () => requestBody(request, bodyBytesMax),
    parsed: request.body,
    principal: () => caller.principal(request),
    actor: () => caller.actor?.(request),
    authorizeReplay: authorizeReplay === undefined ? undefined : (record) => authorizeReplay.call(caller, request, record),
  }
}

/** The pattern that matched; the path itself where the layer is not on a route. */
function routeOf(request: Request): string {
  const pattern = (request.route as { path?: unknown } | undefined)?.path
  return request.baseUrl + (pattern === undefined ? request.path : String(pattern))
}

/** A wildcard's segments are joined so that a slash inside one is not taken for a border. */
function parametersOf({ params }: Request): Readonly<Record<string, string>> | undefined {
  let parameters: Record<string, string> | undefined
  for (const name in params) {
    const value = params[name] as string | readonly string[] | undefined
    if (value === undefined) continue
    parameters ??= Object.create(null) as Record<string, string>
    parameters[name] = typeof value === 'string' ? value : value.map(encodeURIComponent).join('/')
  }
  return parameters
}
