import type { IncomingMessage, ServerResponse } from 'node:http'
import { type CallerOptions, callerFacts, type RequestFacts, requestBody, targetFacts } from '../../http/index.ts'

/**
 * Middleware as Connect, Polka, Restana and others call it, and a plain server can: `next()` goes on, `next(error)` hands an error
 * to whoever answers errors.
 */
export type NodeMiddleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

/** Connect keeps the whole target here when it mounts, and parsers leave their result there. */
interface ConnectRequest extends IncomingMessage {
  readonly originalUrl?: string
  readonly body?: unknown
}

/** What the contract needs to know about a request of Node's own server. There are no patterns: the path is the route. */
export function nodeFacts(request: IncomingMessage, caller: CallerOptions<IncomingMessage>, bodyBytesMax: number): RequestFacts {
  const { originalUrl, body } = request as ConnectRequest
  return {
    method: request.method as string,
    ...targetFacts(originalUrl ?? (request.url as string)),
    headers: request.rawHeaders,
    body: () => requestBody(request, bodyBytesMax),
    parsed: body,
    ...callerFacts(caller, request),
  }
}
