import { type AttemptContext, type EncodedValue, isRejection, type Outbox, Rejection, ValueNotStorable } from '../core/index.ts'
import { encodeNotStored, encodeResponse } from './http-codec.ts'
import type { HttpWork } from './http-work.ts'
import { storedHeaders } from './replay-header.ts'
import { type HttpResponse, isHttpResponse, reply } from './response.ts'
import type { HttpRoute } from './route.ts'

/** A handler that returns its response, so that it can be called again after a serialization failure. */
export type ReturningHandler<Tx> = (
  context: AttemptContext,
  tx: Tx | undefined,
  input: unknown,
  outbox: Outbox | undefined,
) => Promise<HttpResponse> | HttpResponse

/**
 * Runs such a handler. A refusal that it throws is recorded when its status is an outcome; else it is a failure like any other.
 * `onError` may turn an error it knows into a response, which then counts as thrown: in a transaction the rows are rolled back.
 */
export function returningWork<Tx>(
  route: HttpRoute<Tx>,
  handler: ReturningHandler<Tx>,
  onError: ((error: unknown) => HttpResponse | undefined) | undefined,
): HttpWork<HttpResponse, Tx> {
  const { name } = route.definition
  return {
    run: async (context, tx, input, outbox) => {
      try {
        return checked(name, await handler(context, tx, input(), outbox))
      } catch (error) {
        const response = isRejection(error) ? asResponse(error.value, 400) : onError?.(error)
        if (response === undefined) throw error
        if (route.judge(response.status) !== 'complete') return response
        throw new Rejection(response)
      }
    },
    statusOf: (response) => response.status,
    // A resolver answers with a response or with bare data.
    encode: (value: unknown) => storedResponse(route, asResponse(value, 200)),
  }
}

/** The response as it is stored: whole, or as the fact that it was too large. */
export function storedResponse<Tx>(route: HttpRoute<Tx>, response: HttpResponse): EncodedValue {
  const stored = encodeResponse({ ...response, headers: storedHeaders(response.headers, route.storedHeaderNames) })
  return stored.bytes.length > route.engine.parts.limits.responseBytesMax ? encodeNotStored('oversize', response) : stored
}

function asResponse(value: unknown, status: number): HttpResponse {
  return isHttpResponse(value) ? value : reply(status, value)
}

function checked(operation: string, value: unknown): HttpResponse {
  if (isHttpResponse(value)) return value
  throw new ValueNotStorable(`The handler of "${operation}" returned no response; return reply(status, body, headers).`)
}
