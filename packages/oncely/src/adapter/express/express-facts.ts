import type { Request } from 'express'
import { type CallerOptions, callerFacts, type RequestFacts, requestBody, targetFacts } from '../../http/index.ts'

/** What the contract needs to know about an Express request. */
export function expressFacts(request: Request, caller: CallerOptions<Request>, bodyBytesMax: number): RequestFacts {
  return {
    method: request.method,
    ...targetFacts(request.originalUrl),
    route: routeOf(request),
    parameters: parametersOf(request),
    headers: request.rawHeaders,
    body: () => requestBody(request, bodyBytesMax),
    parsed: request.body,
    ...callerFacts(caller, request),
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
