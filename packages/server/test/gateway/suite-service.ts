import { createHash } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { Rejection } from 'oncely'
import { type HttpResponse, headerFields } from 'oncely/http'
import type { SuiteContext, SuiteGuardRoute, SuiteHandleRoute, SuiteRoute } from 'oncely/testing'

/** The suite's handlers as a service that knows nothing of keys: what it is told of an attempt comes in the gateway's fields. */
export function serveRoutes(routes: readonly SuiteRoute[]): RequestListener {
  return (request, response) => {
    const [path = ''] = (request.url as string).split('?')
    const route = routes.find((entry) => new RegExp(`^${entry.path.replaceAll(/:\w+/g, '[^/]+')}$`).test(path))
    if (route === undefined || (route.method !== 'ALL' && route.method !== request.method)) return void response.writeHead(404).end()
    if (route.kind === 'guard') return guarded(route, request, response)
    return void handled(route, request, response)
  }
}

/** A stream is told to a gateway by its type: a head that is sent early cannot be seen on the wire. */
function guarded({ inside, handler, options }: SuiteGuardRoute, request: IncomingMessage, response: ServerResponse): void {
  const type = (): unknown =>
    response.headersSent || response.hasHeader('content-type') || response.setHeader('content-type', 'text/event-stream')
  if (options.stream === true) type()
  const { flushHeaders } = response
  response.flushHeaders = () => {
    type()
    flushHeaders.call(response)
  }
  const run = (): void => {
    try {
      handler(request, response)
    } catch {
      response.writeHead(500).end('suite')
    }
  }
  if (inside === undefined) run()
  else inside(request, response, run)
}

async function handled({ operation, handler }: SuiteHandleRoute, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { input: schema, begin } = operation.definition
  const input = inputOf(Buffer.concat(chunks), request.headers['content-encoding'])
  const checked = await schema?.['~standard'].validate(input)
  if (checked !== undefined && checked.issues !== undefined) return void response.writeHead(400).end('the service refuses it')
  let answer: HttpResponse | undefined
  const context = contextOf(request, input)
  try {
    answer = await handler(context)
  } catch (error) {
    answer = error instanceof Rejection ? (error.value as HttpResponse) : undefined
  }
  const status = answer?.status ?? 500
  const fields = headerFields(answer?.headers ?? [])
  // A service whose effects begin late knows that nothing happened, and says so.
  const nothing = begin === 'explicit' && (status >= 500 || status === 425 || status === 429)
  if (nothing) response.setHeader('idempotency-outcome', 'not-applied')
  for (const [name, value] of fields) response.setHeader(name, value)
  response.writeHead(status).end(answer?.body)
}

const undo: Readonly<Record<string, (bytes: Buffer) => Buffer>> = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync }

function inputOf(bytes: Buffer, coding: string | undefined): unknown {
  const text = (undo[coding ?? '']?.(bytes) ?? bytes).toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text === '' ? undefined : text
  }
}

function contextOf({ headers }: IncomingMessage, input: unknown): SuiteContext {
  const [, epoch = '0', seq = '0'] = /^(\d+):(\d+)$/.exec(String(headers['oncely-fence'])) ?? []
  return {
    input,
    key: String(headers['idempotency-key'] ?? ''),
    record: '',
    attempt: Number(headers['oncely-attempt'] ?? 1),
    fence: { epoch: Number(epoch), seq: BigInt(seq) },
    deriveKey: (name) =>
      createHash('sha256')
        .update(`${String(headers['oncely-key'])}\n${name}`)
        .digest('hex'),
    begin: async () => {},
    signal: new AbortController().signal,
  } as SuiteContext
}
