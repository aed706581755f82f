/** Request headers that a browser client must be allowed to send (`Access-Control-Allow-Headers`). */
export const corsAllowHeaders: readonly string[] = ['Idempotency-Key']

/** Response headers that a browser client must be able to read (`Access-Control-Expose-Headers`). */
export const corsExposeHeaders: readonly string[] = ['Idempotent-Replayed', 'Idempotency-Status', 'Idempotency-Settled', 'Retry-After']

/** Both lists as header lines, to be merged with an application's own; for those that set them without a package. */
export function corsHeaders(own: { readonly allow?: readonly string[]; readonly expose?: readonly string[] } = {}): {
  readonly 'Access-Control-Allow-Headers': string
  readonly 'Access-Control-Expose-Headers': string
} {
  return {
    'Access-Control-Allow-Headers': [...corsAllowHeaders, ...(own.allow ?? [])].join(', '),
    'Access-Control-Expose-Headers': [...corsExposeHeaders, ...(own.expose ?? [])].join(', '),
  }
}
