import { createHash } from 'node:crypto'
import { ConfigurationError } from 'oncely'
import { CallerSource } from '../identity/caller.ts'
import { type TlsServerOptions, tlsServerOptions } from '../identity/tls.ts'
import type { GatewayOptions } from './gateway-options.ts'
import { protectedRoute } from './gateway-protection.ts'
import { RouteTable } from './route-table.ts'
import { Upstream } from './upstream.ts'

/**
 * What a gateway works by at one time. It is replaced as a whole, and lives until its last request has ended:
 *
 *   in force ──another is put in its place──▶ retiring ──its last request ends──▶ closed
 */
export class GatewaySetup {
  readonly options: GatewayOptions
  readonly routes: RouteTable
  readonly problemBase: string
  readonly upstream: Upstream
  readonly callers: CallerSource
  readonly pseudonym: string
  readonly tls: TlsServerOptions | undefined
  readonly connectTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly requestTimeoutMs: number
  #running = 0
  #whenIdle: (() => void) | undefined

  /** @throws ConfigurationError for what cannot work or is not safe. */
  constructor(options: GatewayOptions) {
    this.options = options
    const { oncely, problemBase } = options
    this.tls = options.tls === undefined ? undefined : tlsServerOptions(options.tls)
    this.callers = new CallerSource({ ...options, clientCertificates: options.tls?.clientCa !== undefined })
    this.routes = new RouteTable(
      protectedRoute(oncely, problemBase, options),
      (options.routes ?? []).map((route) => [route.path, protectedRoute(oncely, problemBase, { ...options, ...route })] as const),
    )
    this.problemBase = this.routes.rest.problemBase
    this.connectTimeoutMs = milliseconds('connectTimeoutMs', options.connectTimeoutMs, 10_000)
    this.bodyTimeoutMs = milliseconds('bodyTimeoutMs', options.bodyTimeoutMs, 30_000)
    this.requestTimeoutMs = milliseconds('requestTimeoutMs', options.requestTimeoutMs, 300_000)
    this.pseudonym = `oncely-${createHash('sha256').update(`${oncely.namespace}\n${options.upstream}`).digest('hex').slice(0, 12)}`
    this.upstream = new Upstream({
      url: options.upstream,
      pseudonym: this.pseudonym,
      connectTimeoutMs: this.connectTimeoutMs,
      headersTimeoutMs: milliseconds('headersTimeoutMs', options.headersTimeoutMs, 30_000),
      bodyTimeoutMs: this.bodyTimeoutMs,
      connectionsMax: whole('connectionsMax', options.connectionsMax, 256, 100_000),
    })
  }

  /** Runs one request by this setup, to its end. */
  async hold<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      if (this.#running === 0) this.#whenIdle?.()
    }
  }

  /** Waits for the requests that run by this setup, then closes it. */
  async retire(): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
    }
    await this.options.oncely.drain()
    await this.upstream.close()
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
