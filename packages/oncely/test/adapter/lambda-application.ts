import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import {
  type HttpApiEvent,
  handle,
  type LambdaEvent,
  type LambdaHandler,
  type RestApiEvent,
  wellKnown,
} from '../../src/adapter/lambda/index.ts'
import { headerValues } from '../../src/http/index.ts'
import type { SuiteApplication, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { listening, optionsOf, passes, routeFor } from './suite-server.ts'

export const lambdaContext = { getRemainingTimeInMillis: () => 900_000 }

/** The suite's routes as Lambda functions, behind a server that does what API Gateway does with requests and results. */
export function serveLambda({ oncely, routes }: SuiteApplication, format: '1.0' | '2.0'): Promise<SuiteServer> {
  const entries = routes.map((route) => ({ route, invoke: handlerOf(route) }))
  const published = wellKnown(oncely)
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '' } = request
    if (url === '/.well-known/idempotency') return send(response, await published(await eventOf(request, format, undefined)))
    const entry = routeFor(entries, method, url)
    if (entry === undefined) return void response.writeHead(404).end()
    if (!(await passes(entry.route, { incoming: request, outgoing: response }))) return
    send(response, await entry.invoke(await eventOf(request, format, entry.route.path), lambdaContext))
  }
  return listening(createServer((request, response) => void answer(request, response).catch(() => failed(request, response))))
}

function failed(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete) response.writeHead(500).end('suite')
}

function handlerOf(route: SuiteRoute): LambdaHandler<LambdaEvent> {
  if (route.kind !== 'handle') throw new TypeError('a Lambda function has no guard')
  const options = optionsOf(route, (event: LambdaEvent) => (name) => {
    const lines = Object.entries(event.headers ?? {}).flatMap(([field, value]) => [field, value ?? ''])
    return headerValues(lines, name)[0]
  })
  return handle(route.operation, options, route.handler)
}

/** The event of a request; `pattern` is the route's, in the suite's spelling. */
async function eventOf(request: IncomingMessage, format: '1.0' | '2.0', pattern: string | undefined): Promise<LambdaEvent> {
  const bytes = await buffer(request)
  const { pathname, search, searchParams } = new URL(request.url as string, 'http://127.0.0.1')
  const textual = /^(application\/json|text\/)/.test(request.headers['content-type'] ?? '') && !('content-encoding' in request.headers)
  const content = { body: bytes.toString(textual ? 'utf8' : 'base64'), isBase64Encoded: !textual }
  const route = (pattern ?? pathname).replaceAll(/:(\w+)/g, '{$1}')
  const parameters = parametersOf(pattern ?? pathname, pathname)
  const common = { headers: joinedHeaders(request), pathParameters: parameters }
  if (format === '2.0') {
    const event: HttpApiEvent = {
      version: '2.0',
      routeKey: `${request.method} ${route}`,
      rawPath: pathname,
      rawQueryString: search.slice(1),
      requestContext: { http: { method: request.method as string } },
      ...common,
      ...content,
    }
    return event
  }
  const names = [...new Set(searchParams.keys())]
  const event: RestApiEvent = {
    httpMethod: request.method as string,
    resource: route,
    path: pathname,
    ...common,
    multiValueHeaders: request.headersDistinct,
    multiValueQueryStringParameters: names.length === 0 ? null : Object.fromEntries(names.map((name) => [name, searchParams.getAll(name)])),
    ...content,
    body: bytes.length === 0 ? null : content.body,
  }
  return event
}

function joinedHeaders(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(request.headersDistinct).map(([name, values]) => [name, (values ?? []).join(',')]))
}

function parametersOf(pattern: string, path: string): Record<string, string> {
  const values = path.split('/')
  return Object.fromEntries(pattern.split('/').flatMap((part, at) => (part.startsWith(':') ? [[part.slice(1), values[at] as string]] : [])))
}

type Result = Awaited<ReturnType<LambdaHandler<LambdaEvent>>>

function send(response: ServerResponse, result: Result): void {
  response.statusCode = result.statusCode
  const fields = 'multiValueHeaders' in result ? result.multiValueHeaders : { ...result.headers, 'set-cookie': result.cookies }
  for (const [name, value] of Object.entries(fields)) if (value.length > 0) response.setHeader(name, value)
  response.end(Buffer.from(result.body, result.isBase64Encoded ? 'base64' : 'utf8'))
}
