import { type Idempotency, type IdempotentFetchOptions, type IdempotentRequestInit, idempotentFetch } from '../index.ts'

/** Options of `idempotentAxios`; what sends is the adapter. */
export type IdempotentAxiosOptions = Omit<IdempotentFetchOptions, 'fetch'>

/**
 * What one axios call may say besides the usual, for that call only. Axios learns of it by
 * `declare module 'axios' { interface AxiosRequestConfig extends AxiosCall {} }`.
 */
export type AxiosCall = Pick<IdempotentRequestInit, 'idempotencyKey' | 'intent'>

/** The part of an axios configuration that is read. */
export interface AxiosCallConfig {
  readonly url?: string
  readonly method?: string
  readonly data?: unknown
  readonly headers: { get(name: string): unknown; concat(more: Record<string, string>): unknown }
  readonly signal?: unknown
  readonly cancelToken?: unknown
}

/** The part of an axios response that is read. */
export interface AxiosAnswer {
  readonly data: unknown
  readonly status: number
  readonly headers: object
}

/** What came of an attempt: an answer, an error that holds one, or an error alone. */
interface Told<Answer> {
  readonly answer: Answer | undefined
  readonly error: unknown
}

/** A call takes its own attempt along, so that all calls share keys, retries and budget. */
interface CarryingInit extends IdempotentRequestInit {
  readonly attempt: (init: RequestInit) => Promise<Response>
}

/**
 * Wraps an axios adapter so that each call gets one key before its first attempt, and every attempt carries it; what is repeated is
 * what `idempotentFetch` repeats. Responses, and axios errors that hold one, carry `idempotency`; axios decides by `validateStatus`
 * which is which, as ever. A response of type `stream` is not read, so a problem in it says nothing.
 *
 * @example axios.create({ adapter: idempotentAxios(axios.getAdapter(axios.defaults.adapter), { keys: localStorageKeys() }) })
 * @throws NoAnswer when the last attempt got no answer (`cause` is axios's error), ClientError when a call cannot be sent safely.
 */
export function idempotentAxios<Config extends AxiosCallConfig, Answer extends AxiosAnswer>(
  adapter: (config: Config) => Promise<Answer>,
  options: IdempotentAxiosOptions = {},
): (config: Config) => Promise<Answer & { readonly idempotency: Idempotency }> {
  const { header = 'Idempotency-Key' } = options
  const fetch = idempotentFetch({ ...options, fetch: (_url, init) => (init as CarryingInit).attempt(init!) })
  return async (config) => {
    let told: Told<Answer> = { answer: undefined, error: undefined }
    const attempt = async (init: RequestInit): Promise<Response> => {
      discard(told.answer?.data)
      told = await tell(adapter(attemptConfig(config, init, header)))
      if (told.answer === undefined) throw told.error
      return readable(told.answer)
    }
    const { idempotency } = await fetch(config.url ?? '', callInit(config, header, attempt))
    const { answer, error } = told
    for (const carrier of [answer, error]) {
      if (carrier) Object.defineProperty(carrier, 'idempotency', { value: idempotency, configurable: true })
    }
    if (error !== undefined) throw error
    return answer as Answer & { readonly idempotency: Idempotency }
  }
}

/** The call for the client; it sees of the headers only the key, and of the body only whether it can be sent twice. */
function callInit(config: AxiosCallConfig & AxiosCall, header: string, attempt: CarryingInit['attempt']): CarryingInit {
  const inHeader = config.headers.get(header)
  const { cancelToken } = config as { cancelToken?: { toAbortSignal(): AbortSignal } }
  const signals = [config.signal as AbortSignal | undefined, cancelToken?.toAbortSignal()].filter((signal) => signal !== undefined)
  return {
    method: config.method ?? 'get',
    headers: typeof inHeader === 'string' ? { [header]: inHeader } : {},
    body: (config.data ?? null) as NonNullable<RequestInit['body']> | null,
    signal: signals.length === 0 ? null : AbortSignal.any(signals),
    idempotencyKey: config.idempotencyKey,
    intent: config.intent,
    attempt,
  }
}

/** A copy, so that the caller's own has no key after the call. It names the key once: sent again by hand, it is the same call. */
function attemptConfig<Config extends AxiosCallConfig>(config: Config, init: RequestInit, header: string): Config {
  const key = (init.headers as Headers).get(header)
  const headers = config.headers.concat(key === null ? {} : { [header]: key })
  return { ...config, headers, signal: init.signal, idempotencyKey: undefined, intent: undefined }
}

async function tell<Answer extends AxiosAnswer>(sent: Promise<Answer>): Promise<Told<Answer>> {
  try {
    return { answer: await sent, error: undefined }
  } catch (error) {
    return { answer: (error as { response?: Answer } | undefined)?.response, error }
  }
}

/** The answer as far as the client reads it: status, headers, and the text of a problem. */
async function readable({ status, headers, data }: AxiosAnswer): Promise<Response> {
  const lines = Object.entries(headers).filter((line): line is [string, string] => typeof line[1] === 'string')
  const readable = typeof data === 'string' || data instanceof ArrayBuffer || ArrayBuffer.isView(data) || data instanceof Blob
  const text = status >= 400 && readable ? await new Response(data as string).text() : ''
  return new Response(text === '' ? null : text, { status, headers: lines })
}

/** A stream that nobody reads would keep its connection. */
function discard(data: unknown): void {
  const { destroy } = Object(data) as { destroy?: unknown }
  if (typeof destroy === 'function') destroy.call(data)
}
