import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { handle, wellKnown } from '../../src/adapter/fetch/index.ts'
import type { SuiteApplication, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { listening, type NodePair, optionsOf, passes, routeFor } from './suite-server.ts'

/** The suite's routes as one `fetch`, on a Node server that speaks Fetch. */
export function serveFetch({ oncely, routes }: SuiteApplication): Promise<SuiteServer> {
  const entries = routes.map((route) => ({ route, answer: handlerOf(route) }))
  const published = wellKnown(oncely)
  const fetch = async (request: Request, node: NodePair): Promise<Response> => {
    const { pathname } = new URL(request.url)
    if (pathname === '/.well-known/idempotency' && request.method === 'GET') return published()
    const entry = routeFor(entries, request.method, pathname)
    if (entry === undefined) return new Response(null, { status: 404 })
    if (!(await passes(entry.route, node))) return RESPONSE_ALREADY_SENT
    return entry.answer(request).catch(() => new Response('suite', { status: 500 }))
  }
  return listening(createAdaptorServer({ fetch: fetch as never }) as Server)
}

function handlerOf(route: SuiteRoute): (request: Request) => Promise<Response> {
  if (route.kind !== 'handle') throw new TypeError('a Fetch application has no guard')
  const options = optionsOf(route, (request: Request) => (name) => request.headers.get(name) ?? undefined)
  return handle(route.operation, options, route.handler)
}
