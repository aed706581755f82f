import type { FastifyRequest } from 'fastify'
import { type CallerOptions, callerFacts, type RequestFacts, requestBody, targetFacts } from '../../http/index.ts'

/** What the contract needs to know about a Fastify request. */
export function fastifyFacts(request: FastifyRequest, caller: CallerOptions<FastifyRequest>, bodyBytesMax: number): RequestFacts {
  const { route, query } = targetFacts(request.originalUrl)
  const pattern = request.routeOptions.url
  return {
    method: request.method,
    route: pattern ?? route,
    parameters: pattern === undefined ? undefined : (request.params as Readonly<Record<string, string>>),
    query,
    headers: request.raw.rawHeaders,
    body: () => requestBody(request.raw, bodyBytesMax),
    parsed: request.body,
    ...callerFacts(caller, request),
  }
}
