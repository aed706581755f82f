import { createServer, type IncomingMessage } from 'node:http'
import { guard, handle, type NodeMiddleware, wellKnown } from '../../src/adapter/node/index.ts'
import type { SuiteApplication, SuiteRoute, SuiteServer } from '../../src/testing/http-harness.ts'
import { listening, optionsOf, routeFor } from './suite-server.ts'

/** The suite's routes on Node's own server, with this middleware in front of them. */
export function serveNode({ oncely, routes }: SuiteApplication, ...front: readonly NodeMiddleware[]): Promise<SuiteServer> {
  const entries = routes.map((route) => ({ route, layers: layersOf(route) }))
  const server = createServer((request, response) => {
    const found: NodeMiddleware = (_request, _response, next) => {
      const entry = routeFor(entries, request.method as string, request.url as string)
      if (entry !== undefined) return chain(entry.layers)(request, response, next)
      response.statusCode = 404
      response.end()
    }
    chain([...front, wellKnown(oncely), found])(request, response, (error) => {
      if (response.headersSent) return response.destroy()
      response.statusCode = (error as { status?: number }).status ?? 500
      return response.end('suite')
    })
  })
  return listening(server)
}

/** Layers as Connect calls them. */
function chain(layers: readonly NodeMiddleware[]): NodeMiddleware {
  return (request, response, failed) => {
    const step = (at: number) => {
      try {
        layers[at]?.(request, response, (error) => (error === undefined ? step(at + 1) : failed(error)))
      } catch (error) {
        failed(error)
      }
    }
    step(0)
  }
}

function layersOf(route: SuiteRoute): readonly NodeMiddleware[] {
  const options = optionsOf(route, (request: IncomingMessage) => (name) => {
    const value = request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  })
  const before = route.before === undefined ? [] : [route.before]
  if (route.kind === 'handle') return [...before, handle(route.operation, options, route.handler)]
  const inside = route.inside === undefined ? [] : [route.inside]
  return [...before, guard(route.operation, options), ...inside, (request, response) => route.handler(request, response)]
}
