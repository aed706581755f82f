import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { ConfigurationError, Draining, isOncelyError } from 'oncely'
import {
  type Answer,
  executeRequest,
  type HttpResponse,
  reply,
  requestBody,
  sendResponse,
  specification,
  specificationPath,
  targetFacts,
} from 'oncely/http'
import type { Caller } from '../identity/caller.ts'
import { KeySetUnavailable } from '../identity/json-web-token.ts'
import { BodyBudget, BodyBudgetSpent } from './body-budget.ts'
import { strippedEndToEnd } from './forwarded-header.ts'
import type { GatewayOptions } from './gateway-options.ts'
import { gatewayProblem } from './gateway-problem.ts'
import { GatewaySetup } from './gateway-setup.ts'
import { type Forwarded, keyedWork } from './keyed-work.ts'
import { passThrough } from './pass-through.ts'
import { passWebSocket, refuseUpgrade } from './web-socket.ts'

/**
 * A reverse proxy that runs each key once: in front of any HTTP service, in any language.
 *
 * @example
 * const { store, close } = await namedStore('sqlite:oncely.db')
 * const oncely = createOncely({ namespace: 'gateway', store })
 * const gateway = new Gateway({ oncely, upstream: 'http://127.0.0.1:3000', principal: 'header:x-account' })
 * const { port } = await gateway.listen(8080)
 * process.once('SIGTERM', () => gateway.drain().then(close))
 */
export class Gateway {
  readonly #budget: BodyBudget
  readonly #server: Server | TlsServer
  readonly #responses = new Set<ServerResponse>()
  readonly #sockets = new Set<Duplex>()
  #setup: GatewaySetup
  /** Replaced, and not idle yet. */
  readonly #retiring = new Set<GatewaySetup>()
  #draining = false

  /** @throws ConfigurationError for what cannot work or is not safe. */
  constructor(options: GatewayOptions) {
    this.#setup = new GatewaySetup(options)
    this.#budget = new BodyBudget(options.heldBytesMax ?? heldBytesPreset, options.oncely.limits.bodyBytesMax)
    const { tls, requestTimeoutMs: requestTimeout } = this.#setup
    const timeouts = { requestTimeout, headersTimeout: Math.min(60_000, requestTimeout), insecureHTTPParser: false }
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      this.#responses.add(response)
      response.once('close', () => this.#responses.delete(response))
      if (this.#draining) response.setHeader('connection', 'close')
      const setup = this.#setup
      void setup.hold(() => this.#answer(setup, request, response)).catch((error: unknown) => this.#fail(setup, request, response, error))
    }
    this.#server = tls === undefined ? createServer(timeouts, listener) : createTlsServer({ ...timeouts, ...tls }, listener)
    // Fields beyond a count would be dropped unseen; their size is bounded anyway.
    this.#server.maxHeadersCount = 0
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  /** Opens the store and listens; answers the address. Port 0 takes a free one. */
  async listen(port: number, host?: string): Promise<AddressInfo> {
    await this.#setup.options.oncely.open()
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    return this.#server.address() as AddressInfo
  }

  /**
   * Puts another configuration in force, with an instance of its own over the same store. Requests that run keep theirs to their end. Where it
   * throws, everything stays as it was.
   *
   * @throws ConfigurationError for what cannot work, is not safe, or needs another listener (TLS or not, client certificates or not).
   * @throws StoreTooWeak, StoreUnavailable
   */
  async reload(options: GatewayOptions): Promise<void> {
    const setup = new GatewaySetup(options)
    try {
      const before = this.#setup.tls
      if ((before === undefined) !== (setup.tls === undefined) || before?.requestCert !== setup.tls?.requestCert)
        throw new ConfigurationError('TLS, or client certificates, were turned on or off, which needs a restart.')
      const heldBytesMax = BodyBudget.checked(options.heldBytesMax ?? heldBytesPreset, options.oncely.limits.bodyBytesMax)
      await options.oncely.open()
      if (this.#draining) throw new Draining()
      this.#budget.change(heldBytesMax, options.oncely.limits.bodyBytesMax)
      if (setup.tls !== undefined) (this.#server as TlsServer).setSecureContext(setup.tls)
    } catch (error) {
      await setup.retire()
      throw error
    }
    const { requestTimeoutMs } = setup
    this.#server.requestTimeout = requestTimeoutMs
    this.#server.headersTimeout = Math.min(60_000, requestTimeoutMs)
    const retiring = this.#setup
    this.#setup = setup
    this.#retiring.add(retiring)
    void retiring
      .retire()
      .catch((error: unknown) => options.onError?.(error))
      .finally(() => this.#retiring.delete(retiring))
  }

  /** Takes nothing new, lets what runs finish within the drain time of the instance, then closes what is left. */
  async drain(): Promise<void> {
    this.#draining = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    for (const response of this.#responses) if (!response.headersSent) response.setHeader('connection', 'close')
    const { oncely } = this.#setup.options
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, oncely.limits.drainMs)
    })
    await Promise.all([oncely, ...[...this.#retiring].map(({ options }) => options.oncely)].map((instance) => instance.drain()))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.race([closed, late])
    clearTimeout(timer)
    this.#server.closeAllConnections()
    await Promise.all([this.#setup, ...this.#retiring].map(({ upstream }) => upstream.close()))
  }

  async #answer(setup: GatewaySetup, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = this.#checked(setup, request)
    if (typeof target !== 'string') {
      response.setHeader('connection', 'close')
      return sendResponse(request, response, target)
    }
    const { problemBase, upstream, routes, callers, options } = setup
    if (this.#publishes(request, target)) {
      const document = specification(options.oncely, { problemBase })
      return sendResponse(request, response, reply(200, document, { 'cache-control': 'public, max-age=300' }))
    }
    const { bodyBytesMax } = options.oncely.limits
    const body: { bytes: Uint8Array; free?: () => void } = { bytes: new Uint8Array(0) }
    let caller: Caller | undefined
    const facts = {
      method: request.method as string,
      ...targetFacts(target),
      headers: request.rawHeaders,
      principal: async () => {
        caller = await callers.callerOf(request)
        return caller?.principal
      },
      actor: () => caller?.actor,
      body: async () => {
        body.free ??= this.#budget.reserve(request)
        const read = await requestBody(request, bodyBytesMax)
        if (read.kind === 'bytes') body.bytes = read.bytes
        return read
      },
    }
    const route = routes.find(facts.route)
    const work = keyedWork(route, { upstream, request, response, target, body: () => body.bytes, clientTimeoutMs: setup.bodyTimeoutMs })
    let answer: Answer<Forwarded>
    try {
      answer = await executeRequest(route, facts, work)
    } finally {
      body.free?.()
    }
    if (answer.kind === 'pass') return passThrough({ upstream, problemBase, marks: answer.marks, target }, request, response)
    if (response.headersSent) {
      if (answer.kind === 'ran' && answer.value.kind === 'broken') response.destroy()
      else response.end()
      return
    }
    if (answer.kind === 'response') return sendResponse(request, response, answer.response)
    const { response: given } = answer.value
    sendResponse(request, response, { ...given, headers: [...given.headers, ...answer.marks] })
  }

  #publishes({ method }: IncomingMessage, target: string): boolean {
    return (method === 'GET' || method === 'HEAD') && targetFacts(target).route === specificationPath
  }

  /** The target in origin form, or why the request goes no further. */
  #checked({ problemBase, callers, pseudonym }: GatewaySetup, request: IncomingMessage): string | HttpResponse {
    const refuse = (detail: string): HttpResponse => gatewayProblem(problemBase, 'request-refused', detail)
    const { rawHeaders } = request
    let hosts = 0
    for (let at = 0; at < rawHeaders.length; at += 2) if ((rawHeaders[at] as string).toLowerCase() === 'host') hosts++
    if (hosts > 1) return refuse('The request has more than one Host field.')
    const stripped = strippedEndToEnd(rawHeaders, callers.headers)
    if (stripped !== undefined) return refuse('The Connection field names a field that is not of this connection.')
    if (request.headers.via?.split(',').some((hop) => hop.trim().split(/\s+/)[1] === pseudonym) === true)
      return gatewayProblem(problemBase, 'loop-detected')
    const url = request.url as string
    if (url.startsWith('/')) return url
    if (/^https?:\/\//i.test(url) && URL.canParse(url)) {
      const { pathname, search } = new URL(url)
      return pathname + search
    }
    return refuse('The target has neither a path nor an absolute URL.')
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const setup = this.#setup
    const target = this.#checked(setup, request)
    const refusal = typeof target !== 'string' ? target : this.#upgradeRefusal(setup, request)
    if (refusal !== undefined) {
      refuseUpgrade(socket, refusal)
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const { upstream, problemBase, connectTimeoutMs } = setup
    passWebSocket({ upstream, problemBase, connectTimeoutMs }, request, socket, head, target as string)
  }

  #upgradeRefusal({ problemBase }: GatewaySetup, { method, headers }: IncomingMessage): HttpResponse | undefined {
    if (this.#draining) return gatewayProblem(problemBase, 'draining')
    if (method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket') return undefined
    return gatewayProblem(problemBase, 'upgrade-unsupported')
  }

  #fail(setup: GatewaySetup, request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    // A body that is not read must not be taken for the next request.
    if (error instanceof BodyBudgetSpent) response.setHeader('connection', 'close')
    sendResponse(request, response, this.#problemOf(setup, error))
  }

  #problemOf({ problemBase, routes, options }: GatewaySetup, error: unknown): HttpResponse {
    if (isOncelyError(error)) {
      if (error.code === 'ONCELY_PRINCIPAL_MISSING') return gatewayProblem(problemBase, 'principal-missing')
      if (error.code === 'ONCELY_DRAINING') return gatewayProblem(problemBase, 'draining')
      if (error.code === 'ONCELY_STORE_UNAVAILABLE') return routes.rest.problem('unavailable', { retryAfterMs: 1_000 })
    }
    if (error instanceof BodyBudgetSpent) return gatewayProblem(problemBase, 'busy')
    if (error instanceof KeySetUnavailable) {
      options.onError?.(error)
      return gatewayProblem(problemBase, 'key-set-unavailable')
    }
    options.onError?.(error)
    return gatewayProblem(problemBase, 'gateway-failed')
  }
}

const heldBytesPreset = 268_435_456
