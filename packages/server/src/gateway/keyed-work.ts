import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { AttemptContext } from 'oncely'
import {
  encodeNotStored,
  type HttpOutcome,
  type HttpResponse,
  type HttpRoute,
  type HttpWork,
  headerValues,
  storedResponse,
} from 'oncely/http'
import { responseLines } from './forwarded-header.ts'
import { gatewayProblem } from './gateway-problem.ts'
import { failureName, type Upstream, type UpstreamAnswer } from './upstream.ts'

// One attempt:
//
//   claim ─▶ connection ─▶ begin() ─▶ first byte … last byte ─▶ answer ─▶ record ─▶ client
//                │             │                        │
//     unreachable: released    └── no answer: uncertain └── < 500: completed; else uncertain, unless the service declares otherwise
//
// The body is handed over as an iterator whose first step is `begin()`: the connection stands by then, and not even the request
// line is written before it has something to follow. A connection that is refused so never begins.

/** What became of a forwarded request. */
export interface Forwarded {
  /** `whole`: held here. `oversize` and `stream`: its bytes went straight to the client, its end did not. */
  readonly kind: 'whole' | 'oversize' | 'stream' | 'broken' | 'failed'
  readonly response: HttpResponse
  readonly outcome: HttpOutcome | undefined
}

export interface KeyedWorkOptions {
  readonly upstream: Upstream
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly target: string
  readonly body: () => Uint8Array
  /** Longest time a client may take nothing of an answer that is too large to be held. */
  readonly clientTimeoutMs: number
}

/** Forwards a request with a key, once. */
export function keyedWork(route: HttpRoute<never>, options: KeyedWorkOptions): HttpWork<Forwarded, never> {
  return {
    letsPass: true,
    run: (context) => forward(route, options, context),
    statusOf: ({ response }) => response.status,
    outcomeOf: ({ outcome }) => outcome,
    encode: ({ kind, response }) => {
      if (kind === 'oversize' || kind === 'stream') return encodeNotStored(kind, response)
      return storedResponse(route, response)
    },
  }
}

async function forward(route: HttpRoute<never>, options: KeyedWorkOptions, context: AttemptContext): Promise<Forwarded> {
  const { upstream, request, target } = options
  const bytes = options.body()
  const beginning: { begun: boolean; error?: unknown } = { begun: false }
  async function* beginThenBody(): AsyncGenerator<Uint8Array> {
    try {
      await context.begin()
    } catch (error) {
      beginning.error = error
      throw error
    }
    beginning.begun = true
    if (bytes.length > 0) yield bytes
  }
  let answer: UpstreamAnswer
  try {
    answer = await upstream.request({
      method: request.method as string as 'POST',
      path: upstream.path(target),
      headers: attemptHead(options, context, bytes.length),
      // undici takes any iterable; its types name streams only.
      body: beginThenBody() as unknown as Readable,
      signal: context.signal,
    })
  } catch (error) {
    if (beginning.error !== undefined) throw beginning.error
    if (context.signal.aborted) throw context.signal.reason
    const name = beginning.begun ? failureName(error) : 'upstream-unreachable'
    return { kind: 'failed', response: gatewayProblem(route.problemBase, name), outcome: 'failed' }
  }
  return receive(route, options, answer, context)
}

/** The head of a forwarded attempt. A coded answer would be stored for retries that may not read the coding. */
function attemptHead({ upstream, request }: KeyedWorkOptions, context: AttemptContext, length: number): string[] {
  const lines = upstream.head(request, false)
  const head: string[] = []
  for (let at = 0; at < lines.length; at += 2) {
    if ((lines[at] as string).toLowerCase() !== 'accept-encoding') head.push(lines[at] as string, lines[at + 1] as string)
  }
  head.push('accept-encoding', 'identity', 'content-length', String(length))
  if (context.record === '') return head
  const { epoch, seq } = context.fence
  head.push('oncely-key', context.deriveKey('upstream'), 'oncely-attempt', String(context.attempt), 'oncely-fence', `${epoch}:${seq}`)
  return head
}

async function receive(
  route: HttpRoute<never>,
  options: KeyedWorkOptions,
  answer: UpstreamAnswer,
  context: AttemptContext,
): Promise<Forwarded> {
  const status = answer.statusCode
  const headers = responseLines(answer.rawHeaders, true)
  const outcome = declaredOutcome(answer)
  const isStream = headers.some(([name, value]) => name === 'content-type' && value.toLowerCase().startsWith('text/event-stream'))
  const { responseBytesMax } = route.engine.parts.limits
  const chunks: Buffer[] = []
  let bytes = 0
  let streamed: 'stream' | 'oversize' | undefined
  const head = (kind: Forwarded['kind'], body: Uint8Array): Forwarded => ({ kind, response: { status, headers, body }, outcome })
  try {
    if (isStream) {
      streamed = 'stream'
      await startStream(options, status, headers, chunks.splice(0))
    }
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (streamed !== undefined) await give(options.response, chunk)
      else {
        chunks.push(chunk)
        if (bytes <= responseBytesMax) continue
        streamed = 'oversize'
        await startStream(options, status, headers, chunks.splice(0))
      }
    }
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason
    if (streamed !== undefined) return { ...head('broken', empty), outcome: 'failed' }
    return { kind: 'failed', response: gatewayProblem(route.problemBase, failureName(error)), outcome: 'failed' }
  }
  return streamed === undefined ? head('whole', Buffer.concat(chunks)) : head(streamed, empty)
}

const empty = new Uint8Array(0)

/** The service's own word about the effect, whatever its status says. */
function declaredOutcome({ rawHeaders }: UpstreamAnswer): HttpOutcome | undefined {
  return headerValues(rawHeaders, 'idempotency-outcome').some((value) => value.trim().toLowerCase() === 'not-applied')
    ? 'not-applied'
    : undefined
}

async function startStream(
  { response, clientTimeoutMs }: KeyedWorkOptions,
  status: number,
  headers: HttpResponse['headers'],
  held: readonly Buffer[],
): Promise<void> {
  if (response.destroyed) return
  response.setTimeout(clientTimeoutMs, () => response.destroy())
  response.writeHead(status, [...headers, ['idempotency-status', 'created']].flat())
  response.flushHeaders()
  for (const chunk of held) await give(response, chunk)
}

/** Sends a piece and waits until the client has room for more. A client that is gone takes nothing, and the attempt goes on. */
function give(response: ServerResponse, chunk: Uint8Array): Promise<void> | void {
  if (response.destroyed || response.write(chunk)) return
  return new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go).off('close', go)
      resolve()
    }
    response.on('drain', go).on('close', go)
  })
}
