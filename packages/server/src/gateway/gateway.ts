import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { ConfigurationError, isOncelyError, type Oncely } from 'oncely'
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
import { BodyBudget, BodyBudgetSpent } from './body-budget.ts'
import { strippedEndToEnd } from './forwarded-header.ts'
import { gatewayProblem } from './gateway-problem.ts'
import { type GatewayProtection, type GatewayRoute, protectedRoute } from './gateway-protection.ts'
import { type Forwarded, keyedWork } from './keyed-work.ts'
import { passThrough } from './pass-through.ts'
import { actorSource, type HeaderSource, type PrincipalSource, principalHeader, principalSource } from './principal.ts'
import { RouteTable } from './route-table.ts'
import { Upstream } from './upstream.ts'
import { passWebSocket, refuseUpgrade } from './web-socket.ts'

/** What a gateway is made of. */
export interface GatewayOptions extends GatewayProtection {
  /** The instance that keeps the records; its store's life is the caller's. */
  readonly oncely: Oncely<never>
  /** Origin of the service behind the gateway. */
  readonly upstream: string
  /** Who a key belongs to: `header:NAME` or `anonymous`. There is no default. */
  readonly principal: string
  /** Who acts for the principal: `header:NAME`. With `replayTo: 'actor'` nobody else gets the replay. */
  readonly actor?: string
  /** Paths that are protected otherwise; the first that matches counts. */
  readonly routes?: readonly GatewayRoute[]
  readonly problemBase?: string
  /** Default 10 s. */
  readonly connectTimeoutMs?: number
  /** Longest wait for the head of the service's answer. Default 30 s. */
  readonly headersTimeoutMs?: number
  /** Longest silence inside an answer. Default 30 s. */
  readonly bodyTimeoutMs?: number
  /** Longest time in which a client must have sent its whole request; default 5 min. */
  readonly requestTimeoutMs?: number
  readonly connectionsMax?: number
  /** Most bytes of bodies with a key that are held at once; beyond it 503, before the body is read. Default 256 MiB. */
  readonly heldBytesMax?: number
  /** Hears of failures that are the gateway's own. */
  readonly onError?: (error: unknown) => void
}

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
  readonly #options: GatewayOptions
  readonly #routes: RouteTable
  readonly #problemBase: string
  readonly #upstream: Upstream
  readonly #principal: PrincipalSource
  readonly #actor: HeaderSource | undefined
  /** Fields that say who calls: a client must not have them removed. */
  readonly #callerHeaders: readonly string[]
  readonly #pseudonym: string
  readonly #budget: BodyBudget
  readonly #server: Server
  readonly #responses = new Set<ServerResponse>()
  readonly #sockets = new Set<Duplex>()
  #draining = false

  /** @throws ConfigurationError for what cannot work or is not safe. */
  constructor(options: GatewayOptions) {
    this.#options = options
    const { oncely, problemBase } = options
    this.#principal = principalSource(options.principal)
    this.#actor = options.actor === undefined ? undefined : actorSource(options.actor)
    this.#callerHeaders = [options.principal, options.actor].flatMap((form) => (form === undefined ? [] : (principalHeader(form) ?? [])))
    this.#routes = new RouteTable(
      protectedRoute(oncely, problemBase, options),
      (options.routes ?? []).map((route) => [route.path, protectedRoute(oncely, problemBase, { ...options, ...route })] as const),
    )
    this.#problemBase = this.#routes.rest.problemBase
    this.#budget = new BodyBudget(options.heldBytesMax ?? 268_435_456, options.oncely.limits.bodyBytesMax)
    this.#pseudonym = `oncely-${createHash('sha256').update(`${options.oncely.namespace}\n${options.upstream}`).digest('hex').slice(0, 12)}`
    this.#upstream = new Upstream({
      url: options.upstream,
      pseudonym: this.#pseudonym,
      connectTimeoutMs: milliseconds('connectTimeoutMs', options.connectTimeoutMs, 10_000),
      headersTimeoutMs: milliseconds('headersTimeoutMs', options.headersTimeoutMs, 30_000),
      bodyTimeoutMs: milliseconds('bodyTimeoutMs', options.bodyTimeoutMs, 30_000),
      connectionsMax: whole('connectionsMax', options.connectionsMax, 256, 100_000),
    })
    const requestTimeout = milliseconds('requestTimeoutMs', options.requestTimeoutMs, 300_000)
    const headersTimeout = Math.min(60_000, requestTimeout)
    this.#server = createServer({ requestTimeout, headersTimeout, insecureHTTPParser: false }, (request, response) => {
      this.#responses.add(response)
      response.once('close', () => this.#responses.delete(response))
      if (this.#draining) response.setHeader('connection', 'close')
      void this.#answer(request, response).catch((error: unknown) => this.#fail(request, response, error))
    })
    // Fields beyond a count would be dropped unseen; their size is bounded anyway.
    this.#server.maxHeadersCount = 0
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
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

  /** Takes nothing new, lets what runs finish within the drain time of the instance, then closes what is left. */
  async drain(): Promise<void> {
    this.#draining = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    for (const response of this.#responses) if (!response.headersSent) response.setHeader('connection', 'close')
    const { oncely } = this.#options
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, oncely.limits.drainMs)
    })
    await oncely.drain()
    for (const socket of this.#sockets) socket.destroy()
    await Promise.race([closed, late])
    clearTimeout(timer)
    this.#server.closeAllConnections()
    await this.#upstream.close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = this.#checked(request)
    if (typeof target !== 'string') {
      response.setHeader('connection', 'close')
      return sendResponse(request, response, target)
    }
    const { oncely, bodyTimeoutMs = 30_000 } = this.#options
    if (this.#publishes(request, target)) {
      const document = specification(oncely, { problemBase: this.#problemBase })
      return sendResponse(request, response, reply(200, document, { 'cache-control': 'public, max-age=300' }))
    }
    const { bodyBytesMax } = oncely.limits
    const body: { bytes: Uint8Array; free?: () => void } = { bytes: new Uint8Array(0) }
    const facts = {
      method: request.method as string,
      ...targetFacts(target),
      headers: request.rawHeaders,
      principal: () => this.#caller(request.rawHeaders),
      actor: () => this.#actor?.(request.rawHeaders),
      body: async () => {
        body.free ??= this.#budget.reserve(request)
        const read = await requestBody(request, bodyBytesMax)
        if (read.kind === 'bytes') body.bytes = read.bytes
        return read
      },
    }
    const upstream = this.#upstream
    const route = this.#routes.find(facts.route)
    const work = keyedWork(route, { upstream, request, response, target, body: () => body.bytes, clientTimeoutMs: bodyTimeoutMs })
    let answer: Answer<Forwarded>
    try {
      answer = await executeRequest(route, facts, work)
    } finally {
      body.free?.()
    }
    if (answer.kind === 'pass')
      return passThrough({ upstream, problemBase: this.#problemBase, marks: answer.marks, target }, request, response)
    if (response.headersSent) {
      if (answer.kind === 'ran' && answer.value.kind === 'broken') response.destroy()
      else response.end()
      return
    }
    if (answer.kind === 'response') return sendResponse(request, response, answer.response)
    const { response: given } = answer.value
    sendResponse(request, response, { ...given, headers: [...given.headers, ...answer.marks] })
  }

  /** The principal; none where an actor is asked for and not told, or one actor would read the answers of another. */
  #caller(headers: readonly string[]): ReturnType<PrincipalSource> {
    return this.#actor !== undefined && this.#actor(headers) === undefined ? undefined : this.#principal(headers)
  }

  #publishes({ method }: IncomingMessage, target: string): boolean {
    return (method === 'GET' || method === 'HEAD') && targetFacts(target).route === specificationPath
  }

  /** The target in origin form, or why the request goes no further. */
  #checked(request: IncomingMessage): string | HttpResponse {
    const refuse = (detail: string): HttpResponse => gatewayProblem(this.#problemBase, 'request-refused', detail)
    const { rawHeaders } = request
    let hosts = 0
    for (let at = 0; at < rawHeaders.length; at += 2) if ((rawHeaders[at] as string).toLowerCase() === 'host') hosts++
    if (hosts > 1) return refuse('The request has more than one Host field.')
    const stripped = strippedEndToEnd(rawHeaders, this.#callerHeaders)
    if (stripped !== undefined) return refuse('The Connection field names a field that is not of this connection.')
    if (request.headers.via?.split(',').some((hop) => hop.trim().split(/\s+/)[1] === this.#pseudonym) === true)
      return gatewayProblem(this.#problemBase, 'loop-detected')
    const url = request.url as string
    if (url.startsWith('/')) return url
    if (/^https?:\/\//i.test(url) && URL.canParse(url)) {
      const { pathname, search } = new URL(url)
      return pathname + search
    }
    return refuse('The target has neither a path nor an absolute URL.')
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const target = this.#checked(request)
    const refusal = typeof target !== 'string' ? target : this.#upgradeRefusal(request)
    if (refusal !== undefined) {
      refuseUpgrade(socket, refusal)
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const { connectTimeoutMs = 10_000 } = this.#options
    const problemBase = this.#problemBase
    passWebSocket({ upstream: this.#upstream, problemBase, connectTimeoutMs }, request, socket, head, target as string)
  }

  #upgradeRefusal({ method, headers }: IncomingMessage): HttpResponse | undefined {
    const problemBase = this.#problemBase
    if (this.#draining) return gatewayProblem(problemBase, 'draining')
    if (method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket') return undefined
    return gatewayProblem(problemBase, 'upgrade-unsupported')
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    // A body that is not read must not be taken for the next request.
    if (error instanceof BodyBudgetSpent) response.setHeader('connection', 'close')
    sendResponse(request, response, this.#problemOf(error))
  }

  #problemOf(error: unknown): HttpResponse {
    const problemBase = this.#problemBase
    if (isOncelyError(error)) {
      if (error.code === 'ONCELY_PRINCIPAL_MISSING') return gatewayProblem(problemBase, 'principal-missing')
      if (error.code === 'ONCELY_DRAINING') return gatewayProblem(problemBase, 'draining')
      if (error.code === 'ONCELY_STORE_UNAVAILABLE') return this.#routes.rest.problem('unavailable', { retryAfterMs: 1_000 })
    }
    if (error instanceof BodyBudgetSpent) return gatewayProblem(problemBase, 'busy')
    this.#options.onError?.(error)
    return gatewayProblem(problemBase, 'gateway-failed')
  }
}

function milliseconds(name: string, value: number | undefined, preset: number): number {
  return whole(name, value, preset, 3_600_000)
}

function whole(name: string, value: number | undefined, preset: number, max: number): number {
  if (value === undefined) return preset
  if (!Number.isInteger(value) || value < 1 || value > max)
    throw new ConfigurationError(`${name} is ${String(value)}; it must be a whole number from 1 to ${max} (preset ${preset}).`)
  return value
}
