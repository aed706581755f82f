import { type ClientRequest, Agent as PlainAgent, request as plainRequest } from 'node:http'
import { request as secureRequest, Agent as TlsAgent } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import type { Clock } from '../core/index.ts'

/** What one node answered to one request. */
export interface HttpAnswer {
  readonly status: number
  readonly dateMs: number
  readonly sentMs: number
  readonly receivedMs: number
  readonly text: string
}

/** `sent` is false when no byte of the request can have reached a node. */
export class HttpFailure extends Error {
  readonly sent: boolean

  constructor(message: string, sent: boolean, options?: ErrorOptions) {
    super(message, options)
    this.sent = sent
  }
}

const neverSent: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

/** Requests to the nodes' gateways, over connections that are kept. */
export class EtcdHttp {
  readonly #clock: Clock
  readonly #agents: { readonly http: PlainAgent; readonly https: TlsAgent }

  constructor(clock: Clock, socketsMax: number, tls: SecureContextOptions) {
    this.#clock = clock
    const kept = { keepAlive: true, maxSockets: socketsMax }
    this.#agents = { http: new PlainAgent(kept), https: new TlsAgent({ ...tls, ...kept }) }
  }

  /** One request and its whole answer, within `limitMs`. */
  post(endpoint: string, path: string, body: string, limitMs: number, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const sentMs = this.#clock.monotonicMs()
      const request = this.#open(endpoint, path, headers)
      const cancel = this.#clock.after(limitMs, () => request.destroy(new Error(`no answer within ${Math.round(limitMs)} ms`)))
      const fail = (error: Error): void => {
        cancel()
        reject(failure(error))
      }
      request.on('error', fail)
      request.on('response', (response) => {
        const receivedMs = this.#clock.monotonicMs()
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', fail)
        response.on('end', () => {
          cancel()
          const dateMs = Date.parse(response.headers.date ?? '')
          resolve({ status: response.statusCode ?? 0, dateMs, sentMs, receivedMs, text: Buffer.concat(parts).toString('utf8') })
        })
      })
      request.end(body)
    })
  }

  /** A request whose answer goes on: each line that comes, then the end. The returned function hangs up, without an end. */
  stream(
    endpoint: string,
    path: string,
    body: string,
    headers: Readonly<Record<string, string>>,
    listen: { line(text: string): void; end(): void },
  ): () => void {
    let open = true
    const end = (): void => {
      if (!open) return
      open = false
      listen.end()
    }
    const request = this.#open(endpoint, path, headers)
    request.on('error', end)
    request.on('response', (response) => {
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        const lines = (rest + part).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (open && line !== '') listen.line(line)
      })
      response.on('error', end)
      response.on('close', end)
    })
    request.end(body)
    return () => {
      open = false
      request.destroy()
    }
  }

  close(): void {
    this.#agents.http.destroy()
    this.#agents.https.destroy()
  }

  #open(endpoint: string, path: string, headers: Readonly<Record<string, string>>): ClientRequest {
    const url = new URL(path, endpoint)
    const options = { method: 'POST', headers: { 'content-type': 'application/json', ...headers } }
    return url.protocol === 'https:'
      ? secureRequest(url, { ...options, agent: this.#agents.https })
      : plainRequest(url, { ...options, agent: this.#agents.http })
  }
}

function failure(error: Error & { readonly code?: string }): HttpFailure {
  return new HttpFailure(error.message, !neverSent.has(error.code ?? ''), { cause: error })
}
