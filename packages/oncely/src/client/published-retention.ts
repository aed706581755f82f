import { ClientError } from './client-error.ts'

/** What a server says about itself at `/.well-known/idempotency`, as far as it is read here. */
interface PublishedOperations {
  readonly operations?: readonly { readonly name: string; readonly retention_seconds: number }[]
}

/**
 * Reads how long the server remembers a key of this operation, for `keyAgeMsMax`. It is asked only when a
 * stored key is found: the first call of an intent waits for nothing. An answer that takes longer than 10 s is an error.
 *
 * @example idempotentFetch({ keyAgeMsMax: publishedRetention('https://api.example/.well-known/idempotency', 'create-payment') })
 * @throws ClientError `ONCELY_CONFIGURATION` from the call that needs it, when the document does not name the operation.
 */
export function publishedRetention(url: string | URL, operation: string, fetch?: typeof globalThis.fetch): () => Promise<number> {
  return async () => {
    const response = await (fetch ?? globalThis.fetch)(url, { signal: AbortSignal.timeout(10_000) })
    const { operations }: PublishedOperations = response.ok ? Object(await response.json()) : {}
    const seconds = operations?.find(({ name }) => name === operation)?.retention_seconds
    if (seconds! > 0) return seconds! * 1_000
    throw new ClientError('ONCELY_CONFIGURATION', `${String(url)} (${response.status}) names no retention of "${operation}".`)
  }
}
