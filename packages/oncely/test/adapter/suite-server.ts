import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { CallerOptions } from '../../src/http/index.ts'
import { guardCases } from '../../src/testing/http/guard-cases.ts'
import { guardFailureCases } from '../../src/testing/http/guard-failure-cases.ts'
import type { SuiteHeaders, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import type { Skips } from '../../src/testing/runner.ts'

/** Starts a server on a free port. */
export function listening(server: Server): Promise<SuiteServer> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise<void>((closed) => {
            server.close(() => closed())
            server.closeAllConnections()
          }),
      })
    })
  })
}

/** A route's options, for an adapter that hands `Request` to its callbacks. */
export function optionsOf<Request>(route: SuiteRoute, headersOf: (request: Request) => SuiteHeaders) {
  const { principal, actor, authorizeReplay, options } = route
  const caller: CallerOptions<Request> = {
    principal: (request) => principal(headersOf(request)),
    ...(actor === undefined ? {} : { actor: (request: Request) => actor(headersOf(request)) }),
    ...(authorizeReplay === undefined ? {} : { authorizeReplay: (request, record) => authorizeReplay(headersOf(request), record) }),
  }
  return { ...caller, ...options }
}

/** Finds the route of a request where there is no router. */
export function routeFor<Entry extends { readonly route: SuiteRoute }>(
  entries: readonly Entry[],
  method: string,
  target: string,
): Entry | undefined {
  const [path = ''] = target.split('?')
  return entries.find(({ route }) => {
    const pattern = new RegExp(`^${route.path.replaceAll(/:\w+/g, '[^/]+')}$`)
    return (route.method === 'ALL' || route.method === method) && pattern.test(path)
  })
}

/** How the bytes are captured: a key that is not in the header is known only when the body is. */
export function capturing(routes: readonly SuiteRoute[]): { readonly requests: 'all' | 'keyed' } {
  const all = routes.some(({ options, operation }) => options.keyField !== undefined || operation.definition.payloadKey)
  return { requests: all ? 'all' : 'keyed' }
}

/** Node's own messages of a request. */
export interface NodePair {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
}

/** Runs what stands in front of a route; false when that has answered. */
export function passes({ before }: SuiteRoute, { incoming, outgoing }: NodePair): Promise<boolean> {
  if (before === undefined) return Promise.resolve(true)
  return new Promise((resolve) => {
    before(incoming, outgoing, () => resolve(true))
    if (outgoing.writableEnded) resolve(false)
  })
}

const noGuard = 'there is no guard(): it goes around handlers that write to a Node response, and here there is none'

/** For adapters whose handlers return a Fetch response. */
export const fetchSkips: Skips = {
  'R39: what describes the answer survives, in unsplit lines':
    'Fetch joins the lines of a repeated field with ", ", except those of Set-Cookie',
}

/** For functions behind an HTTP API of API Gateway. */
export const httpApiSkips: Skips = {
  'R39: what describes the answer survives, in unsplit lines':
    'a result of payload format 2.0 has one line for each field, except Set-Cookie',
}

export const guardSkips: Skips = Object.fromEntries(Object.keys({ ...guardCases, ...guardFailureCases }).map((name) => [name, noGuard]))

/** What a parser in front of the route makes of the suite. */
export const parserSkips: Skips = Object.fromEntries(
  ['R41: what is refused before the claim is not stored and uses no key up', 'R51: keys and bodies are in no problem and no event'].map(
    (name) => [name, 'the JSON parser refuses a body that is no JSON before the route is reached'],
  ),
)
