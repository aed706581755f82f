import type { Context, MiddlewareHandler } from 'hono'
import { checkBound, limitBounds } from '../../core/index.ts'
import { type RequestBody, readWebBody } from '../../http/index.ts'

/** Options of `capture`. */
export interface CaptureOptions {
  /** Largest body that is kept for the fingerprint; not below the instance's `limits.bodyBytesMax`. Default 1 MiB. */
  readonly bodyBytesMax?: number
  /** `all` for routes whose key is in the message (webhooks) or the body; default: those with an `Idempotency-Key`. */
  readonly requests?: 'keyed' | 'all'
}

const captured = new WeakMap<Context, Promise<RequestBody>>()

/**
 * Keeps the raw bytes of requests that carry an `Idempotency-Key`, so that the fingerprint is made of what was sent and not of
 * what a parser made of it. Needed where something reads the body before the route: `validator`, `c.req.json()` in middleware. Put
 * it before that. It reads a copy: everything after it reads the body as ever.
 *
 * @example app.use(capture())
 * @throws ConfigurationError when the limit is out of its range.
 */
export function capture(options: CaptureOptions = {}): MiddlewareHandler {
  const bytesMax = checkBound('capture.bodyBytesMax', options.bodyBytesMax, limitBounds.bodyBytesMax)
  const all = options.requests === 'all'
  return (c, next) => {
    if (all || c.req.header('idempotency-key') !== undefined) captured.set(c, readWebBody(c.req.raw, bytesMax))
    return next()
  }
}

/** The body that was captured, else read now and kept for the next who asks. */
export async function bodyOf(c: Context, bytesMax: number): Promise<RequestBody> {
  const reading = captured.get(c) ?? readWebBody(c.req.raw, bytesMax)
  captured.set(c, reading)
  const body = await reading
  return body.kind === 'not-captured' ? { ...body, fix: 'Put app.use(capture()) before everything that reads the body.' } : body
}
