import {
  andThen,
  BodyNotCaptured,
  byPayload,
  type Call,
  checkKey,
  clientName,
  type Eventually,
  type Execution,
  type FingerprintBody,
  type FingerprintFacts,
  InvalidInput,
  isOncelyError,
  PrincipalMissing,
  validateInput,
  type Work,
} from '../core/index.ts'
import { type Answer, answerOf } from './answer.ts'
import { keyInBody } from './body-key.ts'
import { type HeaderLine, headerValues } from './header-line.ts'
import type { HttpWork } from './http-work.ts'
import { type ParsedIdempotencyKey, parseIdempotencyKey } from './idempotency-key.ts'
import { readRequestBody, type UnreadableReason } from './request-body.ts'
import { type Principal, type RequestBody, type RequestFacts, traceIdOf } from './request-facts.ts'
import type { HttpResponse } from './response.ts'
import { type ReturningHandler, returningWork, storedResponse } from './returning-work.ts'
import type { HttpRoute } from './route.ts'

/**
 * The way of a request: method → key → caller → body → input → engine → answer. What is refused before the engine is asked has
 * stored nothing and used no key up. Throws, or rejects with, the typed error of a route that is set up wrong, and what the handler
 * throws.
 */
export function executeRequest<R, Tx>(route: HttpRoute<Tx>, facts: RequestFacts, work: HttpWork<R, Tx>): Eventually<Answer<R>> {
  const keyLines = headerValues(facts.headers, 'idempotency-key')
  if (!route.protects(facts.method)) return withoutRecord(route, facts, work, keyLines.length > 0 ? ignored : unmarked)
  if (facts.key !== undefined) return withKey(route, facts, checkedKey(facts.key, route), work)
  const key = parseIdempotencyKey(keyLines, route.keyOptions)
  return route.keyField === undefined ? withKey(route, facts, key, work) : withBodyKey(route, route.keyField, facts, key, work)
}

function withKey<R, Tx>(
  route: HttpRoute<Tx>,
  facts: RequestFacts,
  key: ParsedIdempotencyKey,
  work: HttpWork<R, Tx>,
): Eventually<Answer<R>> {
  const { phase, payloadKey } = route.definition
  if (phase === 'observe') return observed(route, facts, key, work)
  switch (key.kind) {
    case 'key':
      return keyed(route, facts, key.key, work)
    case 'malformed':
      return refusal(route.problem('key-malformed', { reason: key.reason }))
    case 'absent':
      if (payloadKey) return keyed(route, facts, byPayload, work)
      return phase === 'optional' ? withoutRecord(route, facts, work, unmarked) : refusal(keyMissing(route))
    default:
      return key satisfies never
  }
}

/** A key in the body is known when the body is: what cannot be read is refused as it is on any other route. */
function withBodyKey<R, Tx>(
  route: HttpRoute<Tx>,
  pointer: string,
  facts: RequestFacts,
  inHeader: ParsedIdempotencyKey,
  work: HttpWork<R, Tx>,
): Eventually<Answer<R>> {
  return andThen(readBody(route, facts), (read) => {
    if ('status' in read) return route.definition.phase === 'observe' ? observed(route, facts, inHeader, work) : refusal(read)
    return withKey(route, facts, keyInBody(route, pointer, read.body, inHeader), work)
  })
}

function keyMissing<Tx>(route: HttpRoute<Tx>): HttpResponse {
  const { keyField } = route
  if (keyField === undefined) return route.problem('key-missing')
  return route.problem('key-missing', {
    detail: `Send the key at ${keyField} of the JSON body, or in an Idempotency-Key header: one new key for each intent, the same key on each retry of it.`,
  })
}

/** The answer of a route whose handler returns its response. */
export function answerRequest<Tx>(
  route: HttpRoute<Tx>,
  facts: RequestFacts,
  handler: ReturningHandler<Tx>,
  onError?: (error: unknown) => HttpResponse | undefined,
): Eventually<HttpResponse> {
  return andThen(executeRequest(route, facts, returningWork(route, handler, onError)), responseOf)
}

function responseOf(answer: Answer<HttpResponse>): HttpResponse {
  if (answer.kind === 'response') return answer.response
  if (answer.kind === 'pass') throw new TypeError('a handler that returns its response is never passed by')
  return answer.marks.length === 0 ? answer.value : { ...answer.value, headers: [...answer.value.headers, ...answer.marks] }
}

function checkedKey<Tx>(key: string, route: HttpRoute<Tx>): ParsedIdempotencyKey {
  const check = checkKey(key, route.keyOptions)
  return check === 'ok' ? { kind: 'key', key } : { kind: 'malformed', reason: check }
}

const unmarked: readonly HeaderLine[] = []
const ignored: readonly HeaderLine[] = [['idempotency-status', 'ignored']]

/** Whether the handler was entered: from then on its errors are its own. */
interface Ran {
  entered: boolean
}

/** The caller's name in events; empty when the route has none to give, which an observed route is not refused for. */
async function clientOf<Tx>(route: HttpRoute<Tx>, facts: RequestFacts): Promise<string> {
  try {
    const principal = await facts.principal()
    return typeof principal === 'string' && principal !== '' ? clientName(route.engine.parts.hasher, principal) : ''
  } catch {
    return ''
  }
}

/** Lets every request run, and tells what would have become of it. */
async function observed<R, Tx>(
  route: HttpRoute<Tx>,
  facts: RequestFacts,
  key: ParsedIdempotencyKey,
  work: HttpWork<R, Tx>,
): Promise<Answer<R>> {
  const client = await clientOf(route, facts)
  const tell = (reason: string, error?: unknown): void =>
    route.engine.tell('observed', { idHex: '', operation: route.definition, client }, 0, reason, error)
  const known = key.kind === 'key' ? key.key : key.kind === 'absent' && route.definition.payloadKey ? byPayload : undefined
  if (known === undefined) tell(key.kind === 'malformed' ? `key-malformed: ${key.reason}` : 'key-missing')
  else {
    const ran: Ran = { entered: false }
    try {
      const answer = await keyed(route, facts, known, work, ran)
      if (ran.entered || answer.kind !== 'response') return answer
      tell(`status ${answer.response.status}`)
    } catch (error) {
      // What the layer would have refused is counted; what the handler throws, and the application's own code, is not its own.
      if (ran.entered || !isOncelyError(error)) throw error
      tell(error.code, error)
    }
  }
  return withoutRecord(route, facts, work, unmarked)
}

function keyed<R, Tx>(
  route: HttpRoute<Tx>,
  facts: RequestFacts,
  key: Call['key'],
  work: HttpWork<R, Tx>,
  ran: Ran = { entered: false },
): Eventually<Answer<R>> {
  return andThen(facts.principal(), (principal) => {
    if (principal === undefined || principal === '') throw new PrincipalMissing(route.definition.name)
    return andThen(readBody(route, facts), (read) =>
      'status' in read ? refusal(read) : withBody(route, { facts, key, principal }, read.body, work, ran),
    )
  })
}

/** Who calls, with which key: what a request must have before its body counts. */
interface Identified {
  readonly facts: RequestFacts
  readonly key: Call['key']
  readonly principal: Exclude<Principal, undefined>
}

function withBody<R, Tx>(
  route: HttpRoute<Tx>,
  request: Identified,
  body: FingerprintBody,
  work: HttpWork<R, Tx>,
  ran: Ran,
): Eventually<Answer<R>> {
  const { definition } = route
  const input = inputOf(request.facts, body)
  if (definition.input === undefined && definition.resolver === undefined) return called(route, request, body, input, work, ran)
  return validated(route, input).then(
    (ready) => called(route, request, body, ready, work, ran),
    (error: unknown) => refusalOf(route, error),
  )
}

function called<R, Tx>(
  route: HttpRoute<Tx>,
  { facts, key, principal }: Identified,
  body: FingerprintBody,
  input: () => unknown,
  work: HttpWork<R, Tx>,
  ran: Ran,
): Eventually<Answer<R>> {
  const { definition, engine } = route
  const refused = (error: unknown): Answer<R> => {
    if (ran.entered) throw error
    return refusalOf(route, error)
  }
  try {
    const call: Call = {
      principal,
      actor: facts.actor?.(),
      key,
      traceId: facts.traceId ?? traceIdOf(facts.headers),
      authorizeReplay: facts.authorizeReplay,
      input: definition.resolver === undefined ? undefined : input(),
      facts: fingerprintFacts(route, facts, body),
    }
    const execution = engine.execute(definition, call, engineWork(route, work, input, ran))
    return execution instanceof Promise ? execution.then((ended) => answerOf(route, ended)).catch(refused) : answerOf(route, execution)
  } catch (error) {
    return refused(error)
  }
}

/** The body as it is compared, or why it cannot be; at once where its bytes are here and plain. */
function readBody<Tx>(route: HttpRoute<Tx>, facts: RequestFacts): Eventually<ReadableBody> {
  return andThen(facts.body(), (body) => decodedBody(route, facts, body))
}

type ReadableBody = { readonly body: FingerprintBody } | HttpResponse

function decodedBody<Tx>(route: HttpRoute<Tx>, facts: RequestFacts, body: RequestBody): Eventually<ReadableBody> {
  if (body.kind === 'not-captured')
    throw new BodyNotCaptured(
      `The body of ${facts.method} ${facts.route} was read before its bytes were captured; a parsed body is never fingerprinted. ${body.fix}`,
    )
  if (body.kind !== 'bytes') return noBytes(route, body)
  return andThen(readRequestBody(body.bytes, facts.headers, route.engine.parts.limits.bodyBytesMax), (read) =>
    read.ok ? read : unreadable(route, read.reason),
  )
}

/** Runs the handler without a record; the schema counts here too, as the handler is written for it. */
async function withoutRecord<R, Tx>(
  route: HttpRoute<Tx>,
  facts: RequestFacts,
  work: HttpWork<R, Tx>,
  marks: readonly HeaderLine[],
): Promise<Answer<R>> {
  const { definition, engine } = route
  if (work.letsPass === true) {
    engine.tell('unkeyed', { idHex: '', operation: definition }, 0, '')
    return { kind: 'pass', marks }
  }
  const ran: Ran = { entered: false }
  try {
    const input = await unkeyedInput(route, facts)
    if ('status' in input) return refusal(input)
    const execution: Execution<R> = await engine.executeUnkeyed(definition, engineWork(route, work, input.value, ran))
    return answerOf(route, execution, marks)
  } catch (error) {
    if (ran.entered) throw error
    return refusalOf(route, error)
  }
}

async function unkeyedInput<Tx>(route: HttpRoute<Tx>, facts: RequestFacts): Promise<{ value: () => unknown } | HttpResponse> {
  if (facts.parsed !== undefined) return { value: await validated(route, () => facts.parsed) }
  const body = await facts.body()
  // A parser that leaves nothing in its usual place has consumed it: the handler knows where it is.
  if (body.kind === 'not-captured') return { value: await validated(route, () => undefined) }
  if (body.kind !== 'bytes') return noBytes(route, body)
  const read = await readRequestBody(body.bytes, facts.headers, route.engine.parts.limits.bodyBytesMax)
  if (!read.ok) return unreadable(route, read.reason)
  // Parsed here and not in the handler, so that text which is no JSON is refused like any other malformed body.
  const parsed = inputOf(facts, read.body)()
  return { value: await validated(route, () => parsed) }
}

/** The input as the operation's schema makes it; parsed at once where there is a schema, else when somebody asks. */
async function validated<Tx>(route: HttpRoute<Tx>, input: () => unknown): Promise<() => unknown> {
  if (route.definition.input === undefined) return input
  const raw = input()
  const value = await validateInput(route.definition, raw).catch((error: unknown) => {
    throw error instanceof InvalidInput ? new Refused(route.problem('input-invalid', { issues: error.issues })) : error
  })
  return () => value
}

/** Ends the way of a request before the engine is asked. */
class Refused extends Error {
  readonly response: HttpResponse

  constructor(response: HttpResponse) {
    super('refused')
    this.response = response
  }
}

/** The answer to a request that failed before its handler ran, where that is the request's own fault. */
function refusalOf<R, Tx>(route: HttpRoute<Tx>, error: unknown): Answer<R> {
  if (error instanceof Refused) return refusal(error.response)
  if (error instanceof InvalidInput) return refusal(route.problem('body-malformed', { reason: error.issues[0] }))
  throw error
}

function refusal<R>(response: HttpResponse): Answer<R> {
  return { kind: 'response', response }
}

const decoder = new TextDecoder()

/** The body as data: what a parser made of it, else parsed when it is asked for; a replay never asks. */
function inputOf(facts: RequestFacts, body: FingerprintBody): () => unknown {
  if (facts.parsed !== undefined) return () => facts.parsed
  if (body.kind !== 'json') return () => undefined
  return () => {
    try {
      return JSON.parse(decoder.decode(body.bytes))
    } catch (cause) {
      throw new InvalidInput('The body is not JSON, as its content type says it is.', ['syntax'], { cause })
    }
  }
}

function fingerprintFacts<Tx>(route: HttpRoute<Tx>, facts: RequestFacts, body: FingerprintBody): Omit<FingerprintFacts, 'operation'> {
  const { method, route: pattern, parameters, query, headers } = facts
  return {
    method,
    route: pattern,
    ...(parameters === undefined ? {} : { parameters }),
    ...(query === undefined ? {} : { query }),
    ...(route.fingerprintHeaders.length === 0
      ? {}
      : { headers: route.fingerprintHeaders.flatMap((name) => headerValues(headers, name).map((value) => [name, value] as const)) }),
    body,
  }
}

function engineWork<R, Tx>(route: HttpRoute<Tx>, work: HttpWork<R, Tx>, input: () => unknown, ran: Ran): Work<R, Tx> {
  return {
    run: (context, tx, outbox) => {
      ran.entered = true
      return work.run(context, tx, input, outbox)
    },
    encode: (value) => work.encode(value),
    encodeRejection: (value) => storedResponse(route, value as HttpResponse),
    judge: (value) => work.outcomeOf?.(value) ?? route.judge(work.statusOf(value)),
  }
}

export function noBytes<Tx>(route: HttpRoute<Tx>, body: Exclude<RequestBody, { kind: 'bytes' | 'not-captured' }>): HttpResponse {
  return body.kind === 'too-large' ? tooLarge(route, body.bytesMax) : route.problem('body-malformed', { reason: body.kind })
}

/** Why a body cannot be compared, as a problem. */
function unreadable<Tx>(route: HttpRoute<Tx>, reason: UnreadableReason): HttpResponse {
  switch (reason) {
    case 'too-large':
      return tooLarge(route, route.engine.parts.limits.bodyBytesMax)
    case 'unsupported-coding':
      return route.problem('coding-unsupported')
    case 'malformed-coding':
      return route.problem('body-malformed', { reason })
    default:
      return reason satisfies never
  }
}

function tooLarge<Tx>(route: HttpRoute<Tx>, bytesMax: number): HttpResponse {
  return route.problem('body-too-large', { detail: `The body has more than ${bytesMax} bytes. Nothing ran and the key is not used up.` })
}
