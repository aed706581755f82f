import type { IncomingMessage } from 'node:http'
import { ConfigurationError } from 'oncely'
import { type Dispatcher, errors, Pool } from 'undici'
import { requestLines } from './forwarded-header.ts'

/** How the gateway speaks to the service behind it. */
export interface UpstreamOptions {
  /** Origin of the service, such as `http://127.0.0.1:3000`; a path is put before each target. */
  readonly url: string
  readonly connectTimeoutMs: number
  /** Longest wait for the head of an answer. */
  readonly headersTimeoutMs: number
  /** Longest silence inside an answer. */
  readonly bodyTimeoutMs: number
  readonly connectionsMax: number
  /** Names the gateway in `Via`. */
  readonly pseudonym: string
}

export type UpstreamAnswer = Dispatcher.ResponseData & { readonly rawHeaders: readonly string[] }

/** The service behind the gateway: one pool of kept-alive connections. */
export class Upstream {
  readonly url: URL
  readonly pool: Pool
  readonly #basePath: string
  readonly #pseudonym: string

  /** @throws ConfigurationError for a URL that is none, or not of HTTP. */
  constructor(options: UpstreamOptions) {
    this.url = upstreamUrl(options.url)
    this.#basePath = this.url.pathname.replace(/\/$/, '')
    this.#pseudonym = options.pseudonym
    this.pool = new Pool(this.url.origin, {
      connections: options.connectionsMax,
      connect: { timeout: options.connectTimeoutMs },
      headersTimeout: options.headersTimeoutMs,
      bodyTimeout: options.bodyTimeoutMs,
      pipelining: 1,
    })
  }

  /** The path of a request as the service gets it. */
  path(target: string): string {
    return this.#basePath + target
  }

  /** The head of a request as the service gets it, names and values in turn. */
  head(request: IncomingMessage, keepLength: boolean): string[] {
    const lines = requestLines(request.rawHeaders, keepLength)
    const { via, host } = request.headers
    const before = request.headers['x-forwarded-for']
    const address = request.socket.remoteAddress ?? 'unknown'
    lines.push('host', this.url.host, 'via', `${via === undefined ? '' : `${via}, `}1.1 ${this.#pseudonym}`)
    lines.push('x-forwarded-for', before === undefined ? address : `${String(before)}, ${address}`)
    if (host !== undefined) lines.push('x-forwarded-host', host)
    lines.push('x-forwarded-proto', 'encrypted' in request.socket ? 'https' : 'http')
    return lines
  }

  async request(options: Dispatcher.RequestOptions): Promise<UpstreamAnswer> {
    const answer = await this.pool.request({ ...options, responseHeaders: 'raw' })
    return Object.assign(answer, { rawHeaders: answer.headers as unknown as readonly string[] })
  }

  close(): Promise<void> {
    return this.pool.destroy()
  }
}

/** Why a request to the service failed, as the word of the problem that is answered. */
export function failureName(error: unknown): 'upstream-timeout' | 'upstream-failed' {
  return error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError ? 'upstream-timeout' : 'upstream-failed'
}

function upstreamUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ConfigurationError(`--upstream is ${JSON.stringify(text)}; it must be an http or https URL, such as http://127.0.0.1:3000.`)
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new ConfigurationError('--upstream has credentials, a query or a fragment; give scheme, host, port and path only.')
  return url
}
