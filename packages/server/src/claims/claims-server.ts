import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import {
  anonymous,
  ConfigurationError,
  isOncelyError,
  losslessJson,
  type Oncely,
  type OncelyErrorCode,
  type Operation,
  type OperationOptions,
} from 'oncely'
import { type HttpResponse, reply, requestBody, sendResponse } from 'oncely/http'
import { z } from 'zod'
import { CallerSource, type CredentialOptions } from '../identity/caller.ts'
import { KeySetUnavailable } from '../identity/json-web-token.ts'
import { type TlsOptions, tlsServerOptions } from '../identity/tls.ts'
import { type ClaimProblemName, claimProblem } from './claim-problem.ts'
import { requests, type Step } from './claim-schema.ts'
import { type ClaimDesk, steps } from './claim-step.ts'
import { claimsDocument, documentPath, stepPath } from './claims-document.ts'
import { RateLimit } from './rate-limit.ts'

/** What a claims API is made of. */
export interface ClaimsServerOptions extends CredentialOptions {
  /** The instance that keeps the records; its store's life is the caller's. */
  readonly oncely: Oncely<never>
  /** Which service calls: `api-key`, `jwt`, `mtls`, `header:NAME`, or `anonymous` (every caller shares keys). There is no default. */
  readonly principal: string
  /** Of every record. Default `standard`. */
  readonly policy?: NonNullable<OperationOptions<unknown, unknown, 'lease'>['policy']>
  readonly tls?: TlsOptions
  /** Requests a second and caller. Default 100. */
  readonly rate?: number
  /** How many of them may come at once. Default 200. */
  readonly burst?: number
  /** Longest time in which a client must have sent its whole request. Default 30 s. */
  readonly requestTimeoutMs?: number
  /** Hears of failures that are the server's own. */
  readonly onError?: (error: unknown) => void
}

/**
 * The claims API: idempotency for services that are not on Node. They ask before they run, and settle after.
 *
 * @example
 * const server = new ClaimsServer({ oncely, principal: 'api-key', apiKeys: [{ principal: 'orders', sha256 }] })
 * const { port } = await server.listen(8081)
 */
export class ClaimsServer {
  readonly #options: ClaimsServerOptions
  readonly #callers: CallerSource
  readonly #operation: Operation<unknown, unknown, never, 'lease'>
  readonly #limit: RateLimit
  /** By address: guesses at credentials are limited too. */
  readonly #guesses: RateLimit
  readonly #document: HttpResponse
  readonly #server: Server | TlsServer
  readonly #running = new Set<Promise<void>>()
  #draining = false

  /** @throws ConfigurationError for what cannot work or is not safe. */
  constructor(options: ClaimsServerOptions) {
    this.#options = options
    const { oncely, policy = 'standard', tls, rate = 100, burst = 200, requestTimeoutMs: requestTimeout = 30_000 } = options
    this.#callers = new CallerSource({ ...options, clientCertificates: tls?.clientCa !== undefined })
    this.#limit = new RateLimit({ perSecond: rate, burst })
    this.#guesses = new RateLimit({ perSecond: 1, burst: 20 })
    this.#operation = oncely.operation('claims', { bind: 'lease', begin: 'at-claim', policy })
    if (this.#operation.definition.policy.onStoreDown === 'open')
      throw new ConfigurationError('The claims API cannot let run while the store is down: say --policy-option onStoreDown=closed.')
    this.#document = reply(200, claimsDocument(), { 'cache-control': 'public, max-age=300' })
    const timeouts = { requestTimeout, headersTimeout: Math.min(60_000, requestTimeout), insecureHTTPParser: false }
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      const running = this.#handle(request, response)
      this.#running.add(running)
      void running.finally(() => this.#running.delete(running))
    }
    this.#server =
      tls === undefined ? createServer(timeouts, listener) : createTlsServer({ ...timeouts, ...tlsServerOptions(tls) }, listener)
    this.#server.maxHeadersCount = 0
  }

  /** Opens the store and listens; answers the address. Port 0 takes a free one. */
  async listen(port: number, host?: string): Promise<AddressInfo> {
    await this.#options.oncely.open()
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    return this.#server.address() as AddressInfo
  }

  /** Takes nothing new and lets the steps that run be answered. Claims are their owners' and stay. */
  async drain(): Promise<void> {
    this.#draining = true
    const { oncely } = this.#options
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, oncely.limits.drainMs)
    })
    await Promise.race([Promise.all(this.#running), late])
    this.#server.closeAllConnections()
    clearTimeout(timer)
    await closed
    await oncely.drain()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: HttpResponse
    try {
      answer = await this.#answer(request)
    } catch (error) {
      answer = this.#problemOf(error)
    }
    if (response.destroyed) return
    // A body that was not read must not be taken for the next request.
    if (this.#draining || !request.complete) response.setHeader('connection', 'close')
    sendResponse(request, response, answer)
  }

  async #answer(request: IncomingMessage): Promise<HttpResponse> {
    const [path = ''] = (request.url ?? '').split('?', 1)
    if (path === documentPath && (request.method === 'GET' || request.method === 'HEAD')) return this.#document
    const step = stepOf(path)
    if (step === undefined) return claimProblem('not-found')
    if (request.method !== 'POST') {
      const refused = claimProblem('method-not-allowed')
      return { ...refused, headers: [...refused.headers, ['allow', 'POST']] }
    }
    if (this.#draining) return claimProblem('draining')
    const caller = await this.#caller(request)
    if (typeof caller !== 'string') return caller
    const body = await this.#body(request)
    if (!(body instanceof Uint8Array)) return body
    const { oncely } = this.#options
    return this.#run(step, { oncely, operation: this.#operation, caller }, losslessJson(body, oncely.limits.jsonDepthMax))
  }

  async #caller(request: IncomingMessage): Promise<string | HttpResponse> {
    const address = request.socket.remoteAddress ?? ''
    const found = await this.#callers.callerOf(request)
    if (found === undefined) {
      const retryAfterMs = this.#guesses.take(address)
      if (retryAfterMs > 0) return claimProblem('rate-limited', { retryAfterMs })
      const refused = claimProblem('unauthenticated')
      return { ...refused, headers: [...refused.headers, ['www-authenticate', 'Bearer']] }
    }
    const caller = found.principal === anonymous ? '\u0000anonymous' : found.principal
    const retryAfterMs = this.#limit.take(caller)
    return retryAfterMs > 0 ? claimProblem('rate-limited', { retryAfterMs }) : caller
  }

  async #body(request: IncomingMessage): Promise<Uint8Array | HttpResponse> {
    const { 'content-type': type = '', 'content-encoding': coding = 'identity' } = request.headers
    if (!/^application\/json *(; *charset=("?)utf-8\2 *)?$/i.test(type) || coding.toLowerCase() !== 'identity')
      return claimProblem('media-type')
    const read = await requestBody(request, this.#options.oncely.limits.bodyBytesMax)
    if (read.kind === 'bytes') return read.bytes
    return claimProblem(read.kind === 'too-large' ? 'body-too-large' : 'input-invalid')
  }

  async #run(step: Step, desk: ClaimDesk, body: unknown): Promise<HttpResponse> {
    const checked = requests[step].safeParse(body)
    if (!checked.success) {
      const issues = checked.error.issues
        .slice(0, 20)
        .map(({ path, code }) => `${path.length === 0 ? 'the body' : z.core.toDotPath(path)}: ${code}`)
      return claimProblem('input-invalid', { detail: `The body does not fit ${documentPath}.`, issues })
    }
    return (steps[step] as (desk: ClaimDesk, body: never) => Promise<HttpResponse>)(desk, checked.data as never)
  }

  #problemOf(error: unknown): HttpResponse {
    if (error instanceof KeySetUnavailable) {
      this.#options.onError?.(error)
      return claimProblem('key-set-unavailable')
    }
    const name = isOncelyError(error) ? problemNames[error.code] : undefined
    if (name !== undefined && isOncelyError(error)) {
      const issues = 'issues' in error ? (error.issues as readonly string[]) : undefined
      return claimProblem(name, { code: error.code, ...(name === 'unavailable' ? {} : { detail: error.message, issues }) })
    }
    this.#options.onError?.(error)
    return claimProblem('api-failed', isOncelyError(error) ? { code: error.code } : {})
  }
}

const problemNames: Readonly<Partial<Record<OncelyErrorCode, ClaimProblemName>>> = {
  ONCELY_INVALID_INPUT: 'input-invalid',
  ONCELY_VALUE_NOT_STORABLE: 'input-invalid',
  ONCELY_KEY_INVALID: 'key-malformed',
  ONCELY_STORE_UNAVAILABLE: 'unavailable',
  ONCELY_DRAINING: 'draining',
}

const stepsByPath: ReadonlyMap<string, Step> = new Map((Object.keys(requests) as Step[]).map((step) => [stepPath(step), step]))

function stepOf(path: string): Step | undefined {
  return stepsByPath.get(path)
}
