import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type CallerOptions,
  callerFacts,
  discardUnread,
  type HttpResponse,
  headerFields,
  type RequestFacts,
  requestBody,
  targetFacts,
} from '../../http/index.ts'

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

/** Answers through the reply, so that its hooks, plugins and log see the answer. */
export function sendReply(request: FastifyRequest, reply: FastifyReply, { status, headers, body }: HttpResponse): FastifyReply {
  discardUnread(request.raw)
  reply.code(status)
  for (const [name, value] of headerFields(headers)) reply.header(name, value)
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  if (bytes.length === 0) return reply.send()
  if (reply.hasHeader('content-type')) return reply.send(bytes)
  // Fastify gives bytes a type of its own, and a stream none.
  return reply.header('content-length', bytes.length).send(Readable.from([bytes]))
}
