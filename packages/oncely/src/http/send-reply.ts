import type { IncomingMessage, OutgoingHttpHeader, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { HttpResponse } from './response.ts'
import { discardUnread, headerFields } from './send-response.ts'

/** A response with headers of its own before they are written: what frameworks that have a reply object hand to handlers. */
export interface ReplyObject {
  readonly raw: ServerResponse
  readonly sent: boolean
  code(status: number): unknown
  header(name: string, value: unknown): unknown
  hasHeader(name: string): boolean
  getHeaders(): Record<string, OutgoingHttpHeader | undefined>
  removeHeader(name: string): unknown
  send(payload?: unknown): unknown
}

/** Answers through the reply, so that its hooks, plugins and log see the answer. */
export function sendReply<Reply extends ReplyObject>(
  request: IncomingMessage,
  reply: Reply,
  { status, headers, body }: HttpResponse,
): Reply {
  discardUnread(request)
  reply.code(status)
  for (const [name, value] of headerFields(headers)) reply.header(name, value)
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  if (bytes.length === 0) reply.send()
  else if (reply.hasHeader('content-type')) reply.send(bytes)
  else {
    // Fastify gives bytes a type of its own, and a stream none.
    reply.header('content-length', bytes.length)
    reply.send(Readable.from([bytes]))
  }
  return reply
}

/** Remembers the headers of a reply; the function puts them back as they were. */
export function rememberHeaders(reply: ReplyObject): () => void {
  const before = Object.entries(reply.getHeaders()).map(([name, value]) => [name, Array.isArray(value) ? [...value] : value] as const)
  return () => {
    for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
    for (const [name, value] of before) reply.header(name, value)
  }
}
