import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SeenRequest {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** One step of the script: an answer, a connection that breaks, or none at all. */
export type Step = Reply | 'reset' | 'hang'

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The connection breaks before the body ends. */
  readonly cut?: boolean
  /** No `Date` header. */
  readonly undated?: boolean
}

/** A real server on loopback that answers from a script, and keeps what it was sent. */
export interface ScriptedServer {
  readonly url: string
  readonly seen: readonly SeenRequest[]
  /** Answers the next requests in this order; the last step is repeated. */
  plan(...steps: Step[]): void
  /** Resolves once this many requests have arrived. */
  arrived(count: number): Promise<void>
  close(): Promise<void>
}

export async function startScriptedServer(): Promise<ScriptedServer> {
  const seen: SeenRequest[] = []
  let steps: Step[] = []
  const waiting: { readonly count: number; readonly go: () => void }[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    seen.push({ method: request.method ?? '', headers: request.headers, body })
    const step = steps.length > 1 ? steps.shift() : steps[0]
    answer(step ?? { status: 200 }, response)
    for (const { count, go } of waiting) if (seen.length >= count) go()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/payments`,
    seen,
    plan: (...next) => {
      seen.length = 0
      steps = next
    },
    arrived: (count) => (seen.length >= count ? Promise.resolve() : new Promise((go) => waiting.push({ count, go }))),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answer(step: Step, response: ServerResponse): void {
  if (step === 'hang') return
  if (step === 'reset') return void response.socket?.resetAndDestroy()
  response.sendDate = step.undated !== true
  if (step.cut) {
    response.writeHead(step.status, { ...step.headers, 'content-length': '1000' })
    response.write(step.body, () => response.socket?.destroy())
    return
  }
  response.writeHead(step.status, step.headers).end(step.body ?? '')
}

/** An answer as the library's own server gives it. */
export function problem(status: number, members: Readonly<Record<string, unknown>>, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status, headers: { 'content-type': 'application/problem+json', ...headers }, body: JSON.stringify({ status, ...members }) }
}
