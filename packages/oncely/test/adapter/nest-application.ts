import 'reflect-metadata'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  Controller,
  type INestApplication,
  Module,
  type NestInterceptor,
  Req,
  RequestMapping,
  RequestMethod,
  Res,
  UseInterceptors,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { capture, guard, handle, type NestRequest, type NestResponse, wellKnown } from '../../src/adapter/nest/index.ts'
import type { SuiteApplication, SuiteMiddleware, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { capturing, optionsOf, passes, routeFor } from './suite-server.ts'

export type Platform = 'express' | 'fastify'
type Method = (request: NestRequest, response: NestResponse) => unknown
type Layer = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

/** The suite's routes as controllers, with Nest's JSON parser in front of them or without any. */
export async function serveNest({ oncely, routes }: SuiteApplication, platform: Platform, parses: boolean): Promise<SuiteServer> {
  const controllers = routes.map((route) => {
    const [method, ...interceptors] = methodOf(route)
    return controllerOf(route.method as keyof typeof RequestMethod, route.path, method, interceptors)
  })
  const entries = routes.map((route) => ({ route }))
  const front: Layer = (incoming, outgoing, next) => {
    const entry = routeFor(entries, incoming.method as string, incoming.url as string)
    if (entry === undefined) return next()
    void passes(entry.route, { incoming, outgoing }).then((passed) => passed && next())
  }
  const app = await nestApplication(controllers, platform, parses)
  app.use(capture(capturing(routes)))
  if (parses && platform === 'express') (app as NestExpressApplication).useBodyParser('json', { strict: false })
  app.use(wellKnown(oncely))
  app.use(front)
  return listenNest(app)
}

/** A controller with one method, as its decorators make it. */
export function controllerOf(
  method: keyof typeof RequestMethod,
  path: string,
  answer: Method,
  interceptors: readonly NestInterceptor[] = [],
  returns = false,
): new () => object {
  class RouteController {
    answer(request: NestRequest, response: NestResponse): unknown {
      return answer(request, response)
    }
  }
  const { prototype } = RouteController
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'answer') as PropertyDescriptor
  Controller()(RouteController)
  RequestMapping({ path, method: RequestMethod[method] })(prototype, 'answer', descriptor)
  Req()(prototype, 'answer', 0)
  Res({ passthrough: returns })(prototype, 'answer', 1)
  if (interceptors.length > 0) UseInterceptors(...interceptors)(prototype, 'answer', descriptor)
  return RouteController
}

export async function nestApplication(controllers: (new () => object)[], platform: Platform, parses: boolean): Promise<INestApplication> {
  class ApplicationModule {}
  Module({ controllers })(ApplicationModule)
  const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
  const app = await NestFactory.create(ApplicationModule, adapter, { logger: false, bodyParser: parses && platform === 'fastify' })
  if (platform === 'fastify') {
    const instance = app.getHttpAdapter().getInstance()
    if (!parses) instance.removeAllContentTypeParsers()
    instance.addContentTypeParser('*', (_request: unknown, _payload: unknown, done: (error: null) => void) => done(null))
  }
  return app
}

export async function listenNest(app: INestApplication): Promise<SuiteServer> {
  await app.listen(0, '127.0.0.1')
  const server = app.getHttpServer() as Server
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections()
      await app.close()
    },
  }
}

function methodOf(route: SuiteRoute): readonly [Method, ...NestInterceptor[]] {
  const options = optionsOf(route, (request: NestRequest) => (name) => {
    const value = (request as unknown as IncomingMessage).headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  })
  if (route.kind === 'handle') return [handle(route.operation, options, route.handler)]
  const inside = route.inside === undefined ? [] : [onNode(route.inside)]
  const existing: Method = (request, response) => {
    const [incoming, outgoing] = pairOf(request, response)
    // Nest begins with 201 for POST.
    outgoing.statusCode = 200
    route.handler(incoming, outgoing)
  }
  return [existing, guard(route.operation, options), ...inside]
}

function pairOf(request: NestRequest, response: NestResponse): readonly [IncomingMessage, ServerResponse] {
  return 'raw' in response
    ? [(request as unknown as { raw: IncomingMessage }).raw, response.raw]
    : [request as unknown as IncomingMessage, response]
}

/** Middleware of Node as an interceptor. */
function onNode(middleware: SuiteMiddleware): NestInterceptor {
  return {
    intercept: (execution, next) =>
      new Promise((resolve) => {
        const http = execution.switchToHttp()
        middleware(...pairOf(http.getRequest(), http.getResponse()), () => resolve(next.handle()))
      }),
  }
}
