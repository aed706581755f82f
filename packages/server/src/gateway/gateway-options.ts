import type { Oncely } from 'oncely'
import type { CredentialOptions } from '../identity/caller.ts'
import type { TlsOptions } from '../identity/tls.ts'
import type { GatewayProtection, GatewayRoute } from './gateway-protection.ts'

/** What a gateway is made of. */
export interface GatewayOptions extends GatewayProtection, CredentialOptions {
  /** The instance that keeps the records; its store's life is the caller's. */
  readonly oncely: Oncely<never>
  /** Origin of the service behind the gateway. */
  readonly upstream: string
  /**
   * Who a key belongs to: `header:NAME`, `jwt` or `jwt:CLAIM` (with `jwt`), `api-key` or `api-key:HEADER` (with `apiKeys`), `mtls`
   * (with `tls.clientCa`) or `anonymous`. There is no default.
   */
  readonly principal: string
  /** Who acts for the principal: `header:NAME` or `jwt:CLAIM`. With `replayTo: 'actor'` nobody else gets the replay. */
  readonly actor?: string
  /** Ends TLS here. Without it the gateway speaks plain HTTP. */
  readonly tls?: TlsOptions
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
