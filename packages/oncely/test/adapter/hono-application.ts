import type { Server } from 'node:http'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'
import { capture, handle, wellKnown } from '../../src/adapter/hono/index.ts'
import type { SuiteApplication, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { capturing, listening, optionsOf, passes } from './suite-server.ts'

/** The suite's routes as a Hono application, with middleware that reads bodies in front of them or without any. */
export async function serveHono({ oncely, routes }: SuiteApplication, reads: boolean): Promise<SuiteServer> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  if (reads) app.use(capture(capturing(routes)))
  app.use(wellKnown(oncely))
  if (reads) {
    app.use(async (c, next) => {
      await c.req.text()
      await next()
    })
  }
  for (const route of routes) {
    app.use(route.path, async (c, next) => ((await passes(route, c.env)) ? next() : RESPONSE_ALREADY_SENT))
    const methods = route.method === 'ALL' ? ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] : [route.method]
    app.on(methods, route.path, handlerOf(route))
  }
  app.onError((_error, c) => c.text('suite', 500))
  return listening(createAdaptorServer({ fetch: app.fetch }) as Server)
}

function handlerOf(route: SuiteRoute) {
  if (route.kind !== 'handle') throw new TypeError('a Hono application has no guard')
  return handle(
    route.operation,
    optionsOf(route, (c: Context) => (name) => c.req.header(name)),
    route.handler,
  )
}
