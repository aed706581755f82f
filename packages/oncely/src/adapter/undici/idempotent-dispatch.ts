import type { Dispatcher } from 'undici'
import { type Idempotency, type IdempotentFetchOptions, type IdempotentRequestInit, idempotentFetch } from '../../client/index.ts'
import { Delivery } from './delivery.ts'
import { keyLines, withKey } from './header-pair.ts'
import { type Answered, sendAttempt } from './send-attempt.ts'

/** Options of `idempotentDispatch`; what sends is the dispatcher. */
export type IdempotentDispatchOptions = Omit<IdempotentFetchOptions, 'fetch'>

/** What the options of one request may say besides the usual, for that request only. */
export type UndiciCall = Pick<IdempotentRequestInit, 'idempotencyKey' | 'intent'>

/** The `context` of undici's results (`request`, `stream`), once there is an answer. */
export interface UndiciContext {
  readonly idempotency: Idempotency
}

/** A call takes its own attempt along, so that all calls share keys, retries and budget. */
interface CarryingInit extends IdempotentRequestInit {
  readonly attempt: (init: RequestInit) => Promise<Response>
}

/**
 * An interceptor for undici's dispatchers: each request gets one key before its first attempt, and every attempt carries it; what
 * is repeated is what `idempotentFetch` repeats. Results tell `idempotency` in their `context`. CONNECT and upgrades pass through.
 * A body that is a stream is refused, and so is every body of undici's own `fetch`, which makes streams of them: wrap that one with
 * `idempotentFetch`.
 *
 * @example new Agent().compose(idempotentDispatch({ keys: fileKeys({ folder: '/var/lib/shop/keys' }) }))
 * @throws to the request: NoAnswer when the last attempt got no answer, ClientError when it cannot be sent safely.
 */
export function idempotentDispatch(options: IdempotentDispatchOptions = {}): Dispatcher.DispatcherComposeInterceptor {
  const { header = 'Idempotency-Key' } = options
  const fetch = idempotentFetch({ ...options, fetch: (_url, init) => (init as CarryingInit).attempt(init!) })
  return (dispatch) => (request, handler) => {
    if (request.method === 'CONNECT' || request.upgrade) return dispatch(request, handler)
    const { idempotencyKey, intent, ...own } = request as Dispatcher.DispatchOptions & UndiciCall
    const delivery = new Delivery(handler)
    let answered: Answered | undefined
    const init: CarryingInit = {
      method: own.method,
      headers: keyLines(own.headers, header),
      body: (own.body ?? null) as NonNullable<RequestInit['body']> | null,
      signal: delivery.signal,
      idempotencyKey,
      intent,
      attempt: async ({ headers, signal }) => {
        answered = await sendAttempt(dispatch, withKey(own, header, (headers as Headers).get(header)), signal!)
        return answered.response
      },
    }
    void delivery.run(async () => {
      const { idempotency } = await fetch(`${own.origin ?? ''}${own.path}`, init)
      return { ...answered!, idempotency }
    })
    return true
  }
}
