import { BodyNotCaptured } from '../core/index.ts'
import { answerRequest, noBytes } from './contract.ts'
import type { MessageSource, SourceMessage } from './message-source.ts'
import { type RequestBody, type RequestFacts, traceIdOf } from './request-facts.ts'
import { type HttpResponse, reply } from './response.ts'
import type { ReturningHandler } from './returning-work.ts'
import type { HttpRoute } from './route.ts'

/**
 * The way of a signed delivery: bytes → signature → messages → each through the contract under its own key, in their order. The
 * first message that is not settled ends it with that answer: the sender delivers all of them again, and the settled ones replay.
 */
export async function answerDelivery<Tx>(
  route: HttpRoute<Tx>,
  source: MessageSource,
  facts: RequestFacts,
  handler: ReturningHandler<Tx>,
  onError?: (error: unknown) => HttpResponse | undefined,
): Promise<HttpResponse> {
  const body = await facts.body()
  if (body.kind === 'not-captured')
    throw new BodyNotCaptured(
      `The body of ${facts.method} ${facts.route} was read before its bytes were captured, and a signature is over bytes. Put the route before every body parser, or capture({ requests: 'all' }) before them.`,
    )
  if (body.kind !== 'bytes') return noBytes(route, body)
  const { clock, hasher, limits } = route.engine.parts
  if (body.bytes.length > limits.bodyBytesMax) return noBytes(route, { kind: 'too-large', bytesMax: limits.bodyBytesMax })
  const reading = source.read({ headers: facts.headers, bytes: body.bytes, nowMs: clock.nowMs(), hasher })
  switch (reading.kind) {
    case 'unsigned':
      return route.problem('signature-invalid', { reason: reading.reason })
    case 'malformed':
      return route.problem('body-malformed', { reason: reading.reason })
    case 'messages':
      break
    default:
      return reading satisfies never
  }
  let last: HttpResponse = reply(200)
  for (const message of reading.messages) {
    last = await answerRequest(route, messageFacts(source, facts, message), handler, onError)
    if (last.status >= 300) return last
  }
  return source.acknowledgement ?? last
}

const noBody: RequestBody = { kind: 'bytes', bytes: new Uint8Array(0) }

/** The sender vouches for the id: neither the path nor bytes that change with each delivery make another message of it. */
function messageFacts(source: MessageSource, facts: RequestFacts, { principal, key, input }: SourceMessage): RequestFacts {
  return {
    method: 'POST',
    route: source.name,
    headers: [],
    key,
    body: () => noBody,
    parsed: input,
    principal: () => principal,
    traceId: facts.traceId ?? traceIdOf(facts.headers),
  }
}
