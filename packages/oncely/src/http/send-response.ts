import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Eventually } from '../core/index.ts'
import type { HttpResponse } from './response.ts'

/** Sends a whole response through a Node response, middleware outside included; a client that is gone gets nothing. */
export function sendResponse(request: IncomingMessage, response: ServerResponse, { status, headers, body }: HttpResponse): void {
  discardUnread(request)
  if (response.destroyed) return
  response.statusCode = status
  for (let at = 0; at < headers.length; at++) {
    const [name, value] = headers[at] as (typeof headers)[number]
    // The first line replaces what middleware outside has set; further lines of the same field stand beside it.
    if (isRepeated(headers, at)) response.appendHeader(name, value)
    else response.setHeader(name, value)
  }
  if (body.length === 0) response.end()
  else if (body.length <= oneWriteBytesMax && response.end === ServerResponse.prototype.end) response.end(asLatin1(body), 'latin1')
  else response.end(body)
}

/** Sends the answer that `answer` gives, now or later, and hands what went wrong to `fail`. */
export function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: () => Eventually<HttpResponse>,
  fail: (error: unknown) => void,
): void {
  try {
    const given = answer()
    if (given instanceof Promise) given.then((later) => sendResponse(request, response, later)).catch(fail)
    else sendResponse(request, response, given)
  } catch (error) {
    fail(error)
  }
}

/** Throws away what nobody read of a body: it would block the connection for the next request. */
export function discardUnread(request: IncomingMessage): void {
  if (!request.complete || request.readableLength > 0) request.resume()
}

/** The lines of an answer as Node's `setHeader` takes them: a field of several lines has an array. */
export function headerFields(headers: HttpResponse['headers']): ReadonlyMap<string, string | string[]> {
  const fields = new Map<string, string | string[]>()
  for (const [name, value] of headers) {
    const before = fields.get(name)
    fields.set(name, before === undefined ? value : [...(typeof before === 'string' ? [before] : before), value])
  }
  return fields
}

/** Node sends a head and a string in one write, a head and bytes in two; beyond this size the copy costs more than the write. */
const oneWriteBytesMax = 16_384

/** One character a byte. Only for Node's own `end`: middleware that replaced it may not look at the encoding. */
function asLatin1(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
}

function isRepeated(headers: HttpResponse['headers'], at: number): boolean {
  const name = (headers[at] as (typeof headers)[number])[0]
  for (let before = 0; before < at; before++) if (headers[before]?.[0] === name) return true
  return false
}
