import { lookup } from 'node:dns'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { AddressGuard } from './address-guard.ts'

/** What a receiver said, or why nothing is known. */
export type WebhookResponse =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter: string | undefined; readonly location: string | undefined }
  /** Not sent: the address is not public and not allowed. */
  | { readonly kind: 'forbidden-address' }
  /** It may have arrived. */
  | { readonly kind: 'failed'; readonly reason: string }

export interface WebhookRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly signal: AbortSignal
}

/** As much of an answer's body is read, so that its connection can be used again; nothing of it is kept. */
const answerBytesMax = 65_536

class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress'
}

/**
 * Sends requests to addresses that the guard permits. The name is resolved once for each connection, every address of it is judged,
 * and the socket gets only those: what was checked is what is connected to, whatever the name says a moment later.
 */
export class WebhookClient {
  readonly #guard: AddressGuard
  readonly #agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true }) }

  constructor(guard: AddressGuard) {
    this.#guard = guard
  }

  post({ url, headers, body, signal }: WebhookRequest): Promise<WebhookResponse> {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    if (isIP(host) !== 0 && !this.#guard.permits(host)) return Promise.resolve({ kind: 'forbidden-address' })
    const secure = url.protocol === 'https:'
    const options: RequestOptions = {
      method: 'POST',
      headers: { ...headers, 'content-length': String(body.length) },
      agent: this.#agents[secure ? 'https:' : 'http:'],
      lookup: this.#lookup,
      signal,
    }
    return new Promise((resolve) => {
      const request = (secure ? httpsRequest : httpRequest)(url, options)
      request.once('response', (response) => {
        discard(response)
        const { statusCode = 0, headers: answered } = response
        resolve({ kind: 'status', status: statusCode, retryAfter: answered['retry-after'], location: answered.location })
      })
      request.once('error', (error: NodeJS.ErrnoException) =>
        resolve(error instanceof ForbiddenAddress ? { kind: 'forbidden-address' } : { kind: 'failed', reason: error.code ?? error.name }),
      )
      request.end(body)
    })
  }

  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0)
      const permitted = addresses.filter(({ address }) => this.#guard.permits(address))
      const [first] = permitted
      // One forbidden address among public ones is a rebinding in the making.
      if (first === undefined || permitted.length < addresses.length)
        return callback(new ForbiddenAddress('The name leads to an address that is not allowed.'), '', 0)
      if (options.all === true) return callback(null, permitted)
      callback(null, first.address, first.family)
    })
  }
}

function discard(response: IncomingMessage): void {
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > answerBytesMax) response.destroy()
  })
  response.on('error', () => {})
}
