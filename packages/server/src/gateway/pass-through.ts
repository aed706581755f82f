import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { type HeaderLine, sendResponse } from 'oncely/http'
import { responseLines } from './forwarded-header.ts'
import { gatewayProblem } from './gateway-problem.ts'
import { failureName, type Upstream } from './upstream.ts'

export interface PassOptions {
  readonly upstream: Upstream
  readonly problemBase: string
  readonly marks: readonly HeaderLine[]
  readonly target: string
}

/** Nothing was sent on: the connection itself failed. */
const unreachable: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])

/** Streams a request without a record both ways, in constant memory. A client that leaves ends the request to the service too. */
export async function passThrough(options: PassOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { upstream, marks, target } = options
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  const hasBody = coding !== undefined || (length !== undefined && length !== '0')
  try {
    const answer = await upstream.request({
      method: request.method as string as 'GET',
      path: upstream.path(target),
      headers: upstream.head(request, hasBody),
      body: hasBody ? request : null,
      signal: gone.signal,
    })
    response.writeHead(answer.statusCode, [...responseLines(answer.rawHeaders, false), ...marks].flat())
    await pipeline(answer.body, response)
  } catch (error) {
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    const refused = unreachable.has((error as { code?: unknown }).code)
    const name = refused ? 'upstream-unreachable' : failureName(error)
    const detail = refused ? 'No byte of the request was sent on.' : 'The request had no key, so nothing is known about its effect.'
    // What is left of the body is not read for an answer that does not need it.
    response.setHeader('connection', 'close')
    sendResponse(request, response, gatewayProblem(options.problemBase, name, detail))
  }
}
