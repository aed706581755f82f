import type { Context } from 'koa'
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

/** What the contract needs to know about a Koa request. Koa has no patterns of its own: the path is the route. */
export function koaFacts(ctx: Context, caller: CallerOptions<Context>, bodyBytesMax: number): RequestFacts {
  return {
    method: ctx.method,
    ...targetFacts(ctx.originalUrl),
    headers: ctx.req.rawHeaders,
    body: () => requestBody(ctx.req, bodyBytesMax),
    parsed: (ctx.request as { body?: unknown }).body,
    ...callerFacts(caller, ctx),
  }
}

/** Statuses for which Koa sends no body. */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** Answers through the context, so that middleware outside (compression, ETag) sees the answer. */
export function respond(ctx: Context, { status, headers, body }: HttpResponse): void {
  discardUnread(ctx.req)
  const typed = ctx.res.hasHeader('content-type')
  ctx.status = status
  ctx.body = bodiless.has(status) ? null : Buffer.from(body.buffer, body.byteOffset, body.length)
  // Koa gives bytes a type of its own.
  if (!typed) ctx.remove('content-type')
  for (const [name, value] of headerFields(headers)) ctx.set(name, value)
}
