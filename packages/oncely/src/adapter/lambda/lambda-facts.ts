import { type CallerOptions, callerFacts, type HttpResponse, headerFields, type RequestBody, type RequestFacts } from '../../http/index.ts'
import {
  type HttpApiResult,
  isHttpApi,
  type LambdaEvent,
  type LambdaResult,
  type RestApiEvent,
  type RestApiResult,
} from './lambda-event.ts'

/** What the contract needs to know about an event of API Gateway. */
export function lambdaFacts<Event extends LambdaEvent>(event: Event, caller: CallerOptions<Event>, bodyBytesMax: number): RequestFacts {
  return { ...targetOf(event), body: () => bodyOf(event, bodyBytesMax), ...callerFacts(caller, event) }
}

type Target = Pick<RequestFacts, 'method' | 'route' | 'parameters' | 'query' | 'headers'>

function targetOf(event: LambdaEvent): Target {
  if (!isHttpApi(event)) {
    return {
      method: event.httpMethod,
      route: event.resource,
      parameters: defined(event.pathParameters),
      query: queryOf(event),
      headers: linesOf(event.multiValueHeaders ?? event.headers),
    }
  }
  const pattern = /^\S+ (\/.*)$/.exec(event.routeKey)?.[1]
  return {
    method: event.requestContext.http.method,
    route: pattern ?? event.rawPath,
    parameters: pattern === undefined ? undefined : defined(event.pathParameters),
    query: event.rawQueryString === '' ? undefined : event.rawQueryString,
    headers: linesOf(event.headers),
  }
}

type Values = Readonly<Record<string, string | readonly string[] | undefined>>

/** Names and values in turn. */
function linesOf(fields: Values | null): readonly string[] {
  return Object.entries(fields ?? {}).flatMap(([name, values]) => valuesOf(values).flatMap((value) => [name, value]))
}

/** The decoded query in its encoded form, in the order of the event; undefined where there is none. */
function queryOf(event: RestApiEvent): string | undefined {
  const fields: Values = event.multiValueQueryStringParameters ?? event.queryStringParameters ?? {}
  const pairs = Object.entries(fields).flatMap(([name, values]) => valuesOf(values).map((value): [string, string] => [name, value]))
  return pairs.length === 0 ? undefined : new URLSearchParams(pairs).toString()
}

function valuesOf(values: Values[string]): readonly string[] {
  return values === undefined ? [] : typeof values === 'string' ? [values] : values
}

function defined(
  parameters: Readonly<Record<string, string | undefined>> | null | undefined,
): Readonly<Record<string, string>> | undefined {
  const entries = Object.entries(parameters ?? {}).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

function bodyOf({ body, isBase64Encoded }: LambdaEvent, bytesMax: number): RequestBody {
  const bytes = Buffer.from(body ?? '', isBase64Encoded ? 'base64' : 'utf8')
  return bytes.length > bytesMax ? { kind: 'too-large', bytesMax } : { kind: 'bytes', bytes }
}

/** An answer in the format of its event. */
export function lambdaResult<Event extends LambdaEvent>(event: Event, { status, headers, body }: HttpResponse): LambdaResult<Event> {
  const common = { statusCode: status, ...bodyText(body) }
  const fields = [...headerFields(headers)].map(([name, value]) => [name, typeof value === 'string' ? [value] : value] as const)
  const result: HttpApiResult | RestApiResult = isHttpApi(event)
    ? {
        ...common,
        headers: Object.fromEntries(fields.filter(([name]) => name !== 'set-cookie').map(([name, values]) => [name, values.join(', ')])),
        cookies: fields.find(([name]) => name === 'set-cookie')?.[1] ?? [],
      }
    : { ...common, multiValueHeaders: Object.fromEntries(fields) }
  return result as LambdaResult<Event>
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text as text: a REST API that was told of no binary media types hands base64 on as it is. */
function bodyText(bytes: Uint8Array): { body: string; isBase64Encoded: boolean } {
  try {
    return { body: decoder.decode(bytes), isBase64Encoded: false }
  } catch {
    return { body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'), isBase64Encoded: true }
  }
}
