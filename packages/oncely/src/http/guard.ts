import type { ServerResponse } from 'node:http'
import { type AttemptContext, ConfigurationError, type Engine, type OperationDefinition } from '../core/index.ts'
import { type CapturedResponse, HandlerAbandoned, ResponseCapture } from './capture-response.ts'
import { codingsOf, decodeContent } from './content-coding.ts'
import { executeRequest } from './contract.ts'
import type { HeaderLine } from './header-line.ts'
import { encodeNotStored } from './http-codec.ts'
import type { HttpWork } from './http-work.ts'
import type { RequestFacts } from './request-facts.ts'
import type { HttpResponse } from './response.ts'
import { storedResponse } from './returning-work.ts'
import { type HttpOptions, HttpRoute } from './route.ts'

/** What a guarded route may say besides `HttpOptions`. */
export interface GuardHttpOptions extends HttpOptions {
  /** The route answers with a stream: nothing is held back, and a retry learns that the answer was given once. */
  readonly stream?: boolean
  /** How long a handler whose client is gone may be silent before its attempt counts as failed. Default one minute. */
  readonly abandonAfterMs?: number
}

/** A route around an existing handler that writes its response itself. */
export class GuardRoute<Tx> extends HttpRoute<Tx> {
  readonly stream: boolean
  readonly abandonAfterMs: number

  /** @throws ConfigurationError for an operation whose handler must return its response to keep its promise. */
  constructor(operation: { readonly definition: OperationDefinition; readonly engine: Engine<Tx> }, options: GuardHttpOptions) {
    const { name, bind, begin, redact, adopt } = operation.definition
    if (bind !== 'lease') {
      throw new ConfigurationError(
        `Operation "${name}" is bound to "${bind}"; guard() goes around handlers that cannot be called again, so it needs bind: 'lease'. Use handle() for a transaction.`,
      )
    }
    if (begin !== 'at-claim')
      throw new ConfigurationError(
        `Operation "${name}" has begin "${begin}"; effects of a guarded handler may start with its claim. Use begin: 'at-claim', or handle().`,
      )
    if (redact !== undefined || adopt !== undefined)
      throw new ConfigurationError(
        `Operation "${name}" has ${redact === undefined ? 'adopt' : 'redact'}, which needs a handler that returns its response. Use handle().`,
      )
    const { abandonAfterMs = 60_000 } = options
    if (!Number.isInteger(abandonAfterMs) || abandonAfterMs < 1 || abandonAfterMs > 3_600_000) {
      throw new ConfigurationError(
        `Route of "${name}": abandonAfterMs is ${String(abandonAfterMs)}; it must be a whole number from 1 to 3600000.`,
      )
    }
    super(operation, options)
    this.stream = options.stream ?? false
    this.abandonAfterMs = abandonAfterMs
  }
}

/** How the adapter carries on with a request that is guarded. */
export interface GuardedRequest {
  readonly response: ServerResponse
  /** Calls the handler; without a context where the request needs no record. */
  proceed(context: AttemptContext | undefined): void
  /** Sends an answer that is not the handler's. */
  send(response: HttpResponse): void
  /** Hands an error to the framework; nothing has been sent. */
  fail(error: unknown): void
}

/** Takes a request through the contract around an existing handler. */
export async function guardRequest<Tx>(route: GuardRoute<Tx>, facts: RequestFacts, request: GuardedRequest): Promise<void> {
  const { response } = request
  const guarded: { capture?: ResponseCapture } = {}
  try {
    const answer = await executeRequest(route, facts, guardWork(route, request, guarded))
    switch (answer.kind) {
      case 'pass':
        addMarks(response, answer.marks)
        return request.proceed(undefined)
      case 'ran':
        // An observed handler has sent its response itself.
        return guarded.capture?.send(answer.marks)
      case 'response':
        if (guarded.capture === undefined || guarded.capture.discard()) return request.send(answer.response)
        // Its bytes are on their way, so all that is left to give is their end.
        return guarded.capture.send([])
      default:
        return answer satisfies never
    }
  } catch (error) {
    if (guarded.capture === undefined || (!(error instanceof HandlerAbandoned) && guarded.capture.discard())) request.fail(error)
    else response.destroy()
  }
}

function addMarks(response: ServerResponse, marks: readonly HeaderLine[]): void {
  for (const [name, value] of marks) response.setHeader(name, value)
}

/** A captured response, and its form without a content coding. */
interface Guarded {
  readonly captured: CapturedResponse
  readonly identity: HttpResponse
}

function guardWork<Tx>(route: GuardRoute<Tx>, request: GuardedRequest, guarded: { capture?: ResponseCapture }): HttpWork<Guarded, Tx> {
  const { response } = request
  const { parts } = route.engine
  return {
    letsPass: true,
    run: async (context) => {
      if (route.definition.phase === 'observe') return observed(request, context)
      const { responseBytesMax } = parts.limits
      const capture = new ResponseCapture(response, {
        clock: parts.clock,
        responseBytesMax,
        stream: route.stream,
        abandonAfterMs: route.abandonAfterMs,
      })
      guarded.capture = capture
      request.proceed(context)
      const captured = await capture.ended
      return { captured, identity: await withoutCoding(captured, responseBytesMax) }
    },
    statusOf: ({ captured }) => captured.status,
    encode: ({ captured, identity }) =>
      captured.kind === 'whole' ? storedResponse(route, identity) : encodeNotStored(captured.kind, captured),
  }
}

/** Lets the handler answer as if nothing were around it, and waits for the end of that. */
function observed({ response, proceed }: GuardedRequest, context: AttemptContext): Promise<Guarded> {
  return new Promise((resolve) => {
    const closed = (): void => {
      const captured: CapturedResponse = { kind: 'stream', status: response.statusCode, headers: [], body: new Uint8Array(0) }
      resolve({ captured, identity: captured })
    }
    if (response.destroyed) closed()
    else response.once('close', closed)
    proceed(context)
  })
}

/**
 * What is stored of a response that middleware inside has compressed: its plain bytes, which every retry can read. A response in
 * a coding that cannot be undone here is stored as it is.
 */
async function withoutCoding(captured: CapturedResponse, bytesMax: number): Promise<HttpResponse> {
  const codings = codingsOf(captured.headers.flatMap(([name, value]) => (name === 'content-encoding' ? [value] : [])))
  if (codings.length === 0 || captured.kind !== 'whole' || captured.body.length === 0) return captured
  const decoded = await decodeContent(captured.body, codings, bytesMax)
  if (!decoded.ok) return captured
  return { status: captured.status, headers: captured.headers.filter(([name]) => name !== 'content-encoding'), body: decoded.bytes }
}
