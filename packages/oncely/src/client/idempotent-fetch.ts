import { type Answer, readAnswer } from './answer.ts'
import { ClientError, NoAnswer } from './client-error.ts'
import type { Idempotency } from './idempotency.ts'
import { type KeyStore, memoryKeys } from './key-store.ts'
import { type ClientPlatform, clientPlatform } from './platform.ts'
import { checkRetry, pauseMs, type RetryOptions } from './retry.ts'

export interface IdempotentFetchOptions {
  /** What sends. Default: the platform's `fetch`, looked up at each call. */
  readonly fetch?: typeof globalThis.fetch
  /** Keeps the key of each named intent. Default `memoryKeys()`; `localStorageKeys()` outlives a reload. */
  readonly keys?: KeyStore
  /**
   * A key older than this is neither sent nor sent again: past the server's retention a repeat could run twice. Default 24 hours;
   * `publishedRetention` asks the server, for stored keys only.
   */
  readonly keyAgeMsMax?: number | (() => number | Promise<number>)
  /** Makes the keys that a call does not bring. Default: random UUIDs; `timeOrderedKeys()` makes keys that sort by time. */
  readonly makeKey?: () => string
  readonly retry?: RetryOptions
  /** Default `Idempotency-Key`. */
  readonly header?: string
  /** Sends the key as a quoted string, as the draft writes it; many servers take quotes for part of the key. Default false. */
  readonly quote?: boolean
  /** Clock, timers and randomness, for tests. */
  readonly platform?: Partial<ClientPlatform>
}

/** What one call may say besides the usual. Both are for this call only. */
export interface IdempotentRequestInit extends RequestInit {
  /** The key, or the promise of one (`deterministicKey`). */
  readonly idempotencyKey?: string | Promise<string> | undefined
  /** Names what the user wants; its key is made once and kept in `keys` until the outcome is known. */
  readonly intent?: string | undefined
}

export type IdempotentResponse = Response & { readonly idempotency: Idempotency }

/** `fetch` with a key. */
export type IdempotentFetch = (input: Parameters<typeof globalThis.fetch>[0], init?: IdempotentRequestInit) => Promise<IdempotentResponse>

interface Settings {
  readonly send: typeof globalThis.fetch
  readonly keys: KeyStore
  readonly keyAgeMsMax: number | (() => number | Promise<number>)
  readonly makeKey: () => string
  readonly retry: Required<RetryOptions>
  readonly header: string
  readonly quote: boolean
  readonly platform: ClientPlatform
  readonly budget: { left: number }
}

/** One logical call, the same for all of its attempts. */
interface PreparedCall {
  readonly input: Parameters<typeof globalThis.fetch>[0]
  readonly init: RequestInit
  readonly key: string | undefined
  readonly intent: string | undefined
  readonly signal: AbortSignal | undefined
  /** How long the server is sure to remember a key that an earlier call of the intent kept; undefined for the call's own key. */
  readonly leftMs: number | undefined
}

/**
 * Makes a `fetch` that can be repeated: each call gets one key before its first attempt, and every attempt carries it. Network
 * errors, a request that still runs (409), 502, 503 and 504 are repeated, and 429 and 500 where the server asks for it; 400 and
 * 422 never. A response comes back as from `fetch`, whatever its status, with `idempotency` on it.
 *
 * @throws NoAnswer when the last attempt got no answer, ClientError when a call cannot be sent safely, and the reason of the
 *   caller's own signal.
 */
export function idempotentFetch(options: IdempotentFetchOptions = {}): IdempotentFetch {
  const { header = 'Idempotency-Key', quote = false, keyAgeMsMax = 86_400_000, keys = memoryKeys() } = options
  const ownAgeMsMax = typeof keyAgeMsMax === 'number' ? keyAgeMsMax : Number.POSITIVE_INFINITY
  if (!(ownAgeMsMax > 0)) throw new ClientError('ONCELY_CONFIGURATION', `keyAgeMsMax is ${ownAgeMsMax}; it must be more than 0.`)
  const retry = checkRetry(options.retry)
  const send = options.fetch ?? ((input, init) => fetch(input, init))
  const platform = { ...clientPlatform, ...options.platform }
  const settings: Settings = {
    send,
    keys,
    keyAgeMsMax,
    makeKey: options.makeKey ?? platform.uuid,
    retry,
    header,
    quote,
    platform,
    budget: { left: retry.budgetMax },
  }
  return async (input, init = {}) => {
    const startedMs = platform.monotonicMs()
    const call = await prepare(settings, input, init)
    const { leftMs = ownAgeMsMax } = call
    return run(settings, call, Math.min(startedMs + retry.deadlineMs, platform.monotonicMs() + leftMs))
  }
}

async function prepare(settings: Settings, input: PreparedCall['input'], ownInit: IdempotentRequestInit): Promise<PreparedCall> {
  const { idempotencyKey, intent, ...init } = ownInit
  // Two installs of fetch have two classes, so a request is known by what it can do.
  const request = typeof input === 'object' && 'arrayBuffer' in input ? input : undefined
  const method = (init.method ?? request?.method ?? 'GET').toUpperCase()
  const headers = new Headers(init.headers ?? request?.headers)
  const given = await idempotencyKey
  const inHeader = headers.get(settings.header) ?? undefined
  if ([given, intent, inHeader].filter((source) => source !== undefined).length > 1) {
    throw new ClientError(
      'ONCELY_CONFIGURATION',
      `A call takes its key from one place: idempotencyKey, intent or the ${settings.header} header.`,
    )
  }
  const body = init.body ?? (request?.body ? await request.arrayBuffer() : undefined)
  if (typeof body === 'object' && body !== null && ['getReader', 'pipe', 'next', Symbol.asyncIterator].some((name) => name in body)) {
    throw new ClientError('ONCELY_BODY_NOT_REPLAYABLE', 'The body is a stream, which can be sent only once. Collect it into a Blob first.')
  }
  const signal = init.signal ?? request?.signal
  let key = given ?? inHeader
  let leftMs: number | undefined
  if (intent !== undefined) [key, leftMs] = await keyOfIntent(settings, intent)
  else if (key === undefined && !['GET', 'HEAD', 'OPTIONS'].includes(method)) key = settings.makeKey()
  if (key !== undefined && inHeader === undefined) headers.set(settings.header, fieldValue(key, settings.quote))
  return { input, init: { ...init, headers, ...(body === undefined ? {} : { body }) }, key, intent, signal, leftMs }
}

/** The key of the intent and, when it is a stored one, how long it may still be sent. */
async function keyOfIntent({ keys, keyAgeMsMax, makeKey, platform }: Settings, intent: string): Promise<[key: string, leftMs?: number]> {
  if (intent === '')
    throw new ClientError('ONCELY_CONFIGURATION', 'intent is empty; name the one thing that is meant, such as "checkout 42".')
  const fresh = { key: makeKey(), madeAtMs: platform.nowMs() }
  const { key, madeAtMs } = await keys.obtain(intent, fresh)
  if (key === fresh.key) return [key]
  const ageMsMax = typeof keyAgeMsMax === 'number' ? keyAgeMsMax : await keyAgeMsMax()
  // Keeping and asking took their time too.
  const ageMs = platform.nowMs() - madeAtMs
  if (ageMs <= ageMsMax) return [key, ageMsMax - ageMs]
  throw new ClientError(
    'ONCELY_KEY_TOO_OLD',
    `The key of this intent is ${ageMs} ms old, more than keyAgeMsMax (${ageMsMax} ms), and its outcome was never seen. Find out whether it happened, then call keys.remove(intent, key).`,
  )
}

/** The key as the header's value. Without quotes it must not look like a list, parameters or a string. */
function fieldValue(key: string, quote: boolean): string {
  const sendable = quote ? /^[ -~]{1,255}$/ : /^(?![:?@%(])[!#-&(-+\--:<-~]{1,255}$/
  if (typeof key === 'string' && sendable.test(key)) return quote ? `"${key.replace(/["\\]/g, '\\$&')}"` : key
  throw new ClientError(
    'ONCELY_KEY_INVALID',
    quote
      ? 'The key must be 1 to 255 printable ASCII characters.'
      : 'The key must be 1 to 255 visible ASCII characters without quotes, commas and semicolons, and not begin with : ? @ % or (. Use deterministicKey(), or quote: true.',
  )
}

async function run(settings: Settings, call: PreparedCall, deadlineMs: number): Promise<IdempotentResponse> {
  const { retry, platform, budget } = settings
  // An attempt, of this call or of one before it, that may have acted without our knowing; only the outcome itself takes this back.
  let doubt = call.leftMs !== undefined
  for (let attempts = 1; ; attempts++) {
    const result = await attempt(settings, call, deadlineMs)
    const answer = 'answer' in result ? result.answer : undefined
    doubt ||= answer === undefined || answer.effect === 'unknown'

    const waitMs = pauseMs(retry, attempts, answer?.retryAfterMs, platform)
    const allowed = attempts < retry.attemptsMax && budget.left > 0 && platform.monotonicMs() + waitMs < deadlineMs
    if (allowed && (answer === undefined || answer.repeat)) {
      budget.left--
      if ('response' in result) await result.response.body?.cancel().catch(() => {})
      await pause(waitMs, call.signal, platform)
      continue
    }

    const { key } = call
    if (!('response' in result)) throw new NoAnswer({ key, attempts, replayed: false, uncertain: true, settled: true }, result.error)
    const { response } = result
    const { effect, replayed, settled } = result.answer
    if (effect === 'decided') budget.left = Math.min(retry.budgetMax, budget.left + 1)
    // A refusal that is no replay may come from a door before the server, with an earlier attempt's effect behind it.
    const known = effect === 'decided' && (response.status < 400 || replayed || !doubt)
    if (known && call.intent !== undefined && key !== undefined) await settings.keys.remove(call.intent, key)
    const idempotency: Idempotency = { key, attempts, replayed, uncertain: effect !== 'decided' && doubt, settled }
    return Object.defineProperty(response, 'idempotency', { value: idempotency, configurable: true }) as IdempotentResponse
  }
}

type AttemptResult = { readonly response: Response; readonly answer: Answer } | { readonly error: unknown }

/** Sends once. The caller's own abort is thrown; everything else that goes wrong is a lost answer. */
async function attempt(
  { send, retry, platform }: Settings,
  { input, init, intent, signal }: PreparedCall,
  deadlineMs: number,
): Promise<AttemptResult> {
  const timeoutMs = Math.max(1, Math.min(retry.attemptTimeoutMs, deadlineMs - platform.monotonicMs()))
  const controller = new AbortController()
  const stop = platform.after(timeoutMs, () => controller.abort(new Error(`No answer within ${Math.round(timeoutMs)} ms.`)))
  try {
    const response = await send(input, { ...init, signal: signal ? AbortSignal.any([signal, controller.signal]) : controller.signal })
    const answer = await readAnswer(response, platform)
    // The key of an intent is forgotten with its outcome, so the outcome has to be here to its last byte.
    if (intent !== undefined && answer.effect === 'decided') await response.clone().arrayBuffer()
    return { response, answer }
  } catch (error) {
    signal?.throwIfAborted()
    return { error }
  } finally {
    stop()
  }
}

function pause(waitMs: number, signal: AbortSignal | undefined, platform: ClientPlatform): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      stop()
      signal?.removeEventListener('abort', end)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const stop = platform.after(waitMs, end)
    signal?.addEventListener('abort', end)
    if (signal?.aborted) end()
  })
}
