import type { Middleware } from 'koa'
import { checkBound, limitBounds } from '../../core/index.ts'
import { captureBody } from '../../http/index.ts'

/** Options of `capture`. */
export interface CaptureOptions {
  /** Largest body that is kept for the fingerprint; not below the instance's `limits.bodyBytesMax`. Default 1 MiB. */
  readonly bodyBytesMax?: number
  /** `all` for routes whose key is in the message (webhooks) or the body; default: those with an `Idempotency-Key`. */
  readonly requests?: 'keyed' | 'all'
}

/**
 * Keeps the raw bytes of requests that carry an `Idempotency-Key`, so that the fingerprint is made of what was sent and not of
 * what a parser made of it. Put it before every other middleware. It consumes nothing: parsers work as ever.
 *
 * @example app.use(capture())
 * @throws ConfigurationError when the limit is out of its range.
 */
export function capture(options: CaptureOptions = {}): Middleware {
  const bytesMax = checkBound('capture.bodyBytesMax', options.bodyBytesMax, limitBounds.bodyBytesMax)
  const all = options.requests === 'all'
  return (ctx, next) => {
    captureBody(ctx.req, bytesMax, all)
    return next()
  }
}
