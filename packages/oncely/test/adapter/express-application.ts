import type { AddressInfo } from 'node:net'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import { type CallerOptions, capture, guard, handle, wellKnown } from '../../src/adapter/express/index.ts'
import type { SuiteApplication, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { capturing } from './suite-server.ts'

type Method = 'all' | 'post'

/** The suite's routes as an Express application, with a JSON parser in front of them or without any. */
export async function serveExpress({ oncely, routes }: SuiteApplication, parses: boolean, framework = express): Promise<SuiteServer> {
  const app = framework()
  app.use(capture(capturing(routes)))
  app.use(wellKnown(oncely))
  if (parses) app.use(framework.json({ strict: false }))
  for (const route of routes) {
    const before = route.before === undefined ? [] : [route.before]
    app[route.method.toLowerCase() as Method](route.path, ...before, ...layersOf(route))
  }
  return listen(app)
}

function layersOf(route: SuiteRoute) {
  const options = { ...callerOf(route), ...route.options }
  if (route.kind === 'handle') return [handle(route.operation, options, route.handler)]
  const inside = route.inside === undefined ? [] : [route.inside]
  return [guard(route.operation, options), ...inside, (request: Request, response: Response) => route.handler(request, response)]
}

function callerOf({ principal, actor, authorizeReplay }: SuiteRoute): CallerOptions<Request> {
  const headers = (request: Request) => (name: string) => request.get(name)
  return {
    principal: (request) => principal(headers(request)),
    ...(actor === undefined ? {} : { actor: (request) => actor(headers(request)) }),
    ...(authorizeReplay === undefined ? {} : { authorizeReplay: (request, record) => authorizeReplay(headers(request), record) }),
  }
}

/** Starts an application on a free port; its errors are answered without being printed. */
export function listen(app: Express): Promise<SuiteServer> {
  app.use((error: { status?: number }, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error)
    response.status(error.status ?? 500).json({ error: 'suite' })
  })
  return new Promise((resolve, reject) => {
    const server = app.listen(0, '127.0.0.1', (error?: Error) => {
      if (error !== undefined) return reject(error)
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
