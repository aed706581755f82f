import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import Koa, { type Context, type Middleware } from 'koa'
import { capture, guard, handle, wellKnown } from '../../src/adapter/koa/index.ts'
import type { SuiteApplication, SuiteMiddleware, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { capturing, listening, optionsOf, routeFor } from './suite-server.ts'

/** The suite's routes as a Koa application, with a JSON parser in front of them or without any. */
export function serveKoa({ oncely, routes }: SuiteApplication, parses: boolean): Promise<SuiteServer> {
  const app = new Koa()
  app.silent = true
  app.use(capture(capturing(routes)))
  app.use(wellKnown(oncely))
  if (parses) app.use(parseJson)
  const entries = routes.map((route) => ({ route, layers: layersOf(route) }))
  app.use((ctx, next) => {
    const layers = routeFor(entries, ctx.method, ctx.url)?.layers ?? []
    const step = (at: number): Promise<unknown> => Promise.resolve(layers[at]?.(ctx, async () => step(at + 1)) ?? next())
    return step(0)
  })
  const answer = app.callback()
  return listening(createServer((request, response) => void answer(request, response)))
}

const parseJson: Middleware = async (ctx, next) => {
  if (ctx.is('json') && ctx.get('content-encoding') === '') {
    const body = await text(ctx.req)
    if (body !== '') (ctx.request as { body?: unknown }).body = parsed(ctx, body)
  }
  await next()
}

function parsed(ctx: Context, body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return ctx.throw(400, 'suite')
  }
}

function layersOf(route: SuiteRoute): readonly Middleware[] {
  const options = optionsOf(route, (ctx: Context) => (name) => ctx.get(name) || undefined)
  const before = route.before === undefined ? [] : [onNode(route.before)]
  if (route.kind === 'handle') return [...before, handle(route.operation, options, route.handler)]
  const inside = route.inside === undefined ? [] : [onNode(route.inside)]
  const existing: Middleware = (ctx) => {
    ctx.respond = false
    // Koa begins with 404.
    ctx.res.statusCode = 200
    route.handler(ctx.req, ctx.res)
  }
  return [...before, guard(route.operation, options), ...inside, existing]
}

/** Middleware of Node as one of Koa; what answers itself goes no further. */
function onNode(middleware: SuiteMiddleware): Middleware {
  return (ctx, next) =>
    new Promise((resolve, reject) => {
      middleware(ctx.req, ctx.res, () => void next().then(resolve, reject))
      if (!ctx.res.writableEnded) return
      ctx.respond = false
      resolve(undefined)
    })
}
