import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type CallerOptions,
  callerFacts,
  type HttpResponse,
  type ReplyObject,
  type RequestFacts,
  requestBody,
  sendReply,
  sendResponse,
  targetFacts,
} from '../../http/index.ts'

/** A request as Nest hands it on: Express's `Request` or Fastify's `FastifyRequest`. */
export interface NestRequest {
  readonly method: string
  readonly originalUrl: string
  readonly params?: unknown
  readonly body?: unknown
}

/** A response as Nest hands it on: Express's `Response` or Fastify's `FastifyReply`. */
export type NestResponse = ServerResponse | ReplyObject

interface PlatformRequest extends NestRequest {
  /** Fastify's. */
  readonly raw?: IncomingMessage
  readonly routeOptions?: { readonly url?: string | undefined }
  /** Express's. */
  readonly route?: { readonly path?: unknown }
}

/** What the contract needs to know about a request of either platform. */
export function nestFacts<Request extends NestRequest>(
  request: Request,
  caller: CallerOptions<Request>,
  bodyBytesMax: number,
): RequestFacts {
  const { route: path, query } = targetFacts(request.originalUrl)
  const { route, routeOptions } = request as PlatformRequest
  const pattern = patternOf(routeOptions?.url ?? route?.path)
  const raw = rawRequest(request)
  return {
    method: request.method,
    route: pattern ?? path,
    parameters: pattern === undefined ? undefined : (request.params as Readonly<Record<string, string>>),
    query,
    headers: raw.rawHeaders,
    body: () => requestBody(raw, bodyBytesMax),
    parsed: request.body,
    ...callerFacts(caller, request),
  }
}

/** The pattern that matched. One with a wildcard counts by its path: platforms decode what it matched, slashes included. */
function patternOf(pattern: unknown): string | undefined {
  return typeof pattern === 'string' && !pattern.includes('*') ? pattern : undefined
}

/** Node's own request: Express's is one, Fastify's has one. */
function rawRequest(request: NestRequest): IncomingMessage {
  return (request as PlatformRequest).raw ?? (request as unknown as IncomingMessage)
}

export function isReply(response: NestResponse): response is ReplyObject {
  return 'raw' in response
}

/** Sends an answer the way the platform does it. */
export function sendNest(request: NestRequest, response: NestResponse, answer: HttpResponse): void {
  if (isReply(response) && !response.sent) sendReply(rawRequest(request), response, answer)
  else sendResponse(rawRequest(request), isReply(response) ? response.raw : response, answer)
}
