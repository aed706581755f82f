import { ConfigurationError } from '../core/index.ts'
import { type HandleOptions, type HttpOptions, headerValues, type MessageSource } from '../http/index.ts'
import type { SigningSecrets } from './signature.ts'
import type { WebhookEvent } from './webhook-event.ts'

/** What every provider's webhook takes. */
export interface WebhookOptions extends Pick<HttpOptions, 'outcomes' | 'problemBase' | 'resolution' | 'replayHeaders'> {
  /** The endpoint's signing secret as the provider shows it; several while it is rotated, in any order. */
  readonly secret: SigningSecrets
  /** Tells apart endpoints of one provider that receive the same events and must each run. Default `default`. */
  readonly endpoint?: string
}

/** The second argument of every adapter's `handle`. */
export type WebhookRoute = HandleOptions<unknown>

/** Puts a source among the options of a route. The principal of each message comes from the source. */
export function webhookRoute(options: WebhookOptions, source: MessageSource): WebhookRoute {
  const { secret: _secret, endpoint: _endpoint, ...http } = options
  return { ...http, principal: () => undefined, source }
}

/** The endpoint's part of a principal. */
export function endpointName(provider: WebhookEvent['provider'], { endpoint = 'default' }: WebhookOptions): string {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(endpoint))
    throw new ConfigurationError(
      `${provider}: endpoint is ${JSON.stringify(endpoint)}; it must be 1 to 64 letters, digits, dots, dashes or underscores.`,
    )
  return `webhook/${provider}/${endpoint}`
}

/** The value of a field that must be there once; undefined for none and for several. */
export function onlyValue(headers: readonly string[], name: string): string | undefined {
  const values = headerValues(headers, name)
  return values.length === 1 && values[0] !== '' ? values[0] : undefined
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** A JSON object out of bytes; undefined for anything else. */
export function jsonObject(bytes: Uint8Array | string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(typeof bytes === 'string' ? bytes : decoder.decode(bytes))
    return asObject(value)
  } catch {
    return
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined
}
