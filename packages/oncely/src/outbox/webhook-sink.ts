import {
  type Clock,
  ConfigurationError,
  checkBound,
  isSinkName,
  type OutboxMessage,
  type OutboxSink,
  type SinkAnswer,
} from '../core/index.ts'
import { nodeClock } from '../platform/index.ts'
import { addressGuard } from './address-guard.ts'
import { WebhookClient, type WebhookResponse } from './webhook-request.ts'
import { signatureHeaders, type WebhookSecret, webhookKeys } from './webhook-signature.ts'

export interface WebhookSinkOptions {
  /** What messages call it by; default `webhook`. */
  readonly name?: string
  /** Where messages go, or how a message tells: by its topic, for instance. */
  readonly url: string | ((message: OutboxMessage) => string)
  /** Signs every request (Standard Webhooks). Several while one is being replaced: receivers accept any of them. */
  readonly secret: WebhookSecret | readonly WebhookSecret[]
  /** Sent with every request to the URL's own origin, such as an `Authorization`. */
  readonly headers?: Readonly<Record<string, string>>
  /** Longest wait for one receiver's answer, redirects included. Default 5 s. */
  readonly timeoutMs?: number
  /** Requests that are out at once; one for each aggregate. Default 16. */
  readonly concurrencyMax?: number
  /** Redirects (307 and 308) that are followed. Default 3. */
  readonly redirectsMax?: number
  /** Addresses or networks to permit although they are not public, such as `10.1.0.0/16`. Default none. */
  readonly allowAddresses?: readonly string[]
  /** Permits `http:`: anybody on the way reads the messages. Default false. */
  readonly allowHttp?: boolean
  readonly clock?: Clock
}

/**
 * Sends messages as webhooks: one POST each, with an `Idempotency-Key` that stays the same however often it is delivered, and signed
 * with a time stamp. 2xx is sent. 400, 410, 413, 415, 422, a redirect that would change the method and an address that is not public
 * are refused; everything else is tried again, not before the receiver's `Retry-After`.
 *
 * @throws ConfigurationError for options that cannot work or are not safe.
 *
 * @example await oncely.start({ relay: [webhookSink({ url: 'https://partner.example/hooks', secret })] })
 */
export function webhookSink(options: WebhookSinkOptions): OutboxSink {
  return new WebhookSink(options)
}

class WebhookSink implements OutboxSink {
  readonly name: string
  readonly #options: WebhookSinkOptions
  readonly #keys: readonly Uint8Array[]
  readonly #client: WebhookClient
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #concurrencyMax: number
  readonly #redirectsMax: number

  constructor(options: WebhookSinkOptions) {
    this.name = options.name ?? 'webhook'
    if (!isSinkName(this.name))
      throw new ConfigurationError(
        `A webhookSink is named ${JSON.stringify(this.name)}; use 1 to 64 letters, digits, dots, dashes or underscores.`,
      )
    this.#options = options
    this.#keys = webhookKeys(options.secret)
    this.#client = new WebhookClient(addressGuard(options.allowAddresses ?? []))
    this.#clock = options.clock ?? nodeClock
    this.#timeoutMs = checkBound('timeoutMs', options.timeoutMs, { preset: 5_000, min: 1, max: 600_000 })
    this.#concurrencyMax = checkBound('concurrencyMax', options.concurrencyMax, { preset: 16, min: 1, max: 1_000 })
    this.#redirectsMax = checkBound('redirectsMax', options.redirectsMax, { preset: 3, min: 0, max: 20 })
    if (typeof options.url === 'string' && this.#target(options.url) === undefined)
      throw new ConfigurationError(
        `webhookSink "${this.name}": the url must be https: (or http: with allowHttp: true) and carry no user or password.`,
      )
  }

  async send(messages: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly SinkAnswer[]> {
    const answers: SinkAnswer[] = messages.map(() => ({ word: 'retry', reason: 'an earlier message of its aggregate was not sent' }))
    const aggregates = new Map<string, number[]>()
    for (const [index, { aggregate }] of messages.entries()) aggregates.set(aggregate, [...(aggregates.get(aggregate) ?? []), index])
    const waiting = aggregates.values()
    const work = async (): Promise<void> => {
      for (const indexes of waiting) {
        for (const index of indexes) {
          const answer = await this.#deliver(messages[index] as OutboxMessage, signal)
          answers[index] = answer
          if (answer !== 'sent') break
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(this.#concurrencyMax, aggregates.size) }, work))
    return answers
  }

  async #deliver(message: OutboxMessage, signal: AbortSignal): Promise<SinkAnswer> {
    if (signal.aborted) return { word: 'retry', reason: 'not tried: the relay stopped' }
    const given = typeof this.#options.url === 'string' ? this.#options.url : this.#options.url(message)
    let target = this.#target(given)
    if (target === undefined) return { word: 'refused', reason: 'the url is not https or carries a password' }
    const { origin } = target
    const late = new AbortController()
    const cancel = this.#clock.after(this.#timeoutMs, () => late.abort())
    try {
      for (let redirects = 0; ; redirects++) {
        const response = await this.#client.post({
          url: target,
          headers: this.#headers(message, target.origin === origin),
          body: message.payload,
          signal: AbortSignal.any([signal, late.signal]),
        })
        if (response.kind !== 'status' || ![307, 308].includes(response.status))
          return this.#answer(late.signal.aborted && response.kind === 'failed' ? { kind: 'failed', reason: 'time-out' } : response)
        if (redirects >= this.#redirectsMax) return { word: 'refused', reason: `more than ${this.#redirectsMax} redirects` }
        const next = this.#target(response.location, target)
        if (next === undefined || (target.protocol === 'https:' && next.protocol !== 'https:'))
          return { word: 'refused', reason: 'redirected to a url that is not https or carries a password' }
        target = next
      }
    } finally {
      cancel()
    }
  }

  /** The credentials of one origin are not shown to another. */
  #headers(message: OutboxMessage, own: boolean): Readonly<Record<string, string>> {
    const { id, contentType, topic, type, headers, payload } = message
    const lowered = (given: Readonly<Record<string, string>>): Record<string, string> =>
      Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), headerText(value)]))
    return {
      ...Object.fromEntries(Object.entries(lowered(headers)).filter(([name]) => !ownHeaders.has(name))),
      ...(own ? lowered(this.#options.headers ?? {}) : {}),
      'content-type': headerText(contentType),
      'webhook-topic': headerText(topic),
      ...(type === '' ? {} : { 'webhook-type': headerText(type) }),
      // Quoted, as the header is a structured field. (draft-ietf-httpapi-idempotency-key-header)
      'idempotency-key': `"${id}"`,
      ...signatureHeaders(this.#keys, id, Math.floor(this.#clock.nowMs() / 1_000), payload),
    }
  }

  #answer(response: WebhookResponse): SinkAnswer {
    switch (response.kind) {
      case 'forbidden-address':
        return { word: 'refused', reason: 'the address is not public; list it in allowAddresses if it is meant' }
      case 'failed':
        return { word: 'retry', reason: response.reason }
      case 'status': {
        const { status, retryAfter } = response
        if (status >= 200 && status < 300) return 'sent'
        const reason = `status ${status}`
        if ((status >= 300 && status < 400) || [400, 410, 413, 415, 422].includes(status)) return { word: 'refused', reason }
        const afterMs = this.#waitOf(retryAfter)
        return afterMs === undefined ? { word: 'retry', reason } : { word: 'retry', reason, afterMs }
      }
      default:
        return response satisfies never
    }
  }

  /** Seconds or a date. (RFC 9110, section 10.2.3.) */
  #waitOf(retryAfter: string | undefined): number | undefined {
    if (retryAfter === undefined) return undefined
    if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter) * 1_000
    const atMs = Date.parse(retryAfter)
    return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - this.#clock.nowMs())
  }

  #target(text: string | undefined, base?: URL): URL | undefined {
    if (text === undefined || !URL.canParse(text, base?.href)) return undefined
    const url = new URL(text, base?.href)
    const scheme = url.protocol === 'https:' || (url.protocol === 'http:' && this.#options.allowHttp === true)
    return scheme && url.username === '' && url.password === '' ? url : undefined
  }
}

/** A message does not say where it goes or how its request is framed. */
const ownHeaders = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** What a header can carry: everything beyond it is percent-encoded. */
function headerText(value: string): string {
  return value.replaceAll(/[^\t\x20-\x7e]/gu, (character) => encodeURIComponent(character))
}
