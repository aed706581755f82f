import { createServer, request as httpRequest, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  anonymous,
  createOncely,
  type Oncely,
  type OncelyEvent,
  type OncelyOptions,
  type OperationDefinition,
  type PolicyName,
  type PolicyOptions,
} from 'oncely'
import type { SuiteApplication, SuiteHeaders, SuiteRoute, SuiteServer } from 'oncely/testing'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { GatewayRoute } from '../../src/gateway/gateway-protection.ts'
import { serveRoutes } from './suite-service.ts'

// One application of the suite is three hops:
//
//   client ─▶ what authenticates, and names the caller ─▶ gateway ─▶ service with the suite's handlers

const principalField = 'x-suite-principal'
const actorField = 'x-suite-actor'

/** Serves the suite's routes by a service that knows nothing of keys, behind a gateway. */
export async function serveGateway({ routes }: SuiteApplication): Promise<SuiteServer> {
  const { store, limits, namespace, secrets, events, budget } = (routes[0] as SuiteRoute).operation.engine.parts
  const claims: OncelyEvent[] = []
  const tellClaims = (): void => {
    for (const claim of claims.splice(0)) events?.(claim)
  }
  // The suite takes a claim for an attempt whose handler runs; behind a gateway it does when the service has the request.
  const heard = (event: OncelyEvent): unknown => (event.type === 'claimed' ? claims.push(event) : events?.(event))
  const oncely = gatewayInstance({
    ...{ namespace, store, limits, secrets, events: heard },
    ...(budget === undefined ? {} : { budget: { ...budget.limits, window: budget.limits.windowMs } }),
  })
  const serve = serveRoutes(routes)
  const service = await listening((request, response) => {
    tellClaims()
    serve(request, response)
  })
  const gateway = await startGateway(oncely, routes, service.port).catch(async (error: unknown) => {
    await service.close()
    throw error
  })
  const front = await listening(frontOf(routes, gateway.port))
  return {
    port: front.port,
    close: async () => {
      await front.close()
      await gateway.close()
      await service.close()
    },
  }
}

/** An instance of its own over the suite's store, heard by the suite: operations are declared by the gateway, not by the suite. */
export function gatewayInstance(options: OncelyOptions): Oncely<never> {
  return createOncely(options) as unknown as Oncely<never>
}

async function startGateway(oncely: Oncely<never>, routes: readonly SuiteRoute[], port: number): Promise<SuiteServer> {
  const [first, ...others] = routes.map(protectionOf) as [GatewayRoute, ...GatewayRoute[]]
  const { principal, actor, options } = routes[0] as SuiteRoute
  const { path: _, ...rest } = first
  const gateway = new Gateway({
    ...rest,
    oncely,
    upstream: `http://127.0.0.1:${port}`,
    principal: principal(() => undefined) === anonymous ? 'anonymous' : `header:${principalField}`,
    routes: others,
    ...(actor === undefined ? {} : { actor: `header:${actorField}` }),
    ...(options.problemBase === undefined ? {} : { problemBase: options.problemBase }),
  })
  const address = await gateway.listen(0, '127.0.0.1')
  return { port: address.port, close: () => gateway.drain() }
}

/** What the suite declares for a route, in the words of a gateway. */
function protectionOf({ path, options, operation: { definition } }: SuiteRoute): GatewayRoute {
  const { name, phase, exclude, keyspace, store } = definition
  const { methods = ['POST', 'PUT', 'PATCH', 'DELETE'], problemBase: _, ...http } = options
  return {
    ...http,
    path,
    operation: name,
    policy: policyOf(definition),
    methods,
    key: phase === 'enforce' ? 'required' : 'optional',
    exclude,
    keyspace,
    store,
  }
}

/** A policy as it is declared, from the one in force: durations without their `Ms`. */
function policyOf({ policy }: OperationDefinition): [PolicyName, PolicyOptions] {
  const { name, ...values } = policy
  return [
    name.replace('*', '') as PolicyName,
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key.replace(/Ms$/, ''), value])) as PolicyOptions,
  ]
}

/** The hop in front: runs the application's authentication, and says who calls. */
function frontOf(routes: readonly SuiteRoute[], port: number): RequestListener {
  return (request, response) => {
    const { before, principal, actor } = routes[0] as SuiteRoute
    const pass = (): void => {
      const header: SuiteHeaders = (name) => {
        const value = request.headers[name]
        return Array.isArray(value) ? value.join(', ') : value
      }
      const headers = [...request.rawHeaders]
      const caller = principal(header)
      if (typeof caller === 'string' && caller !== '') headers.push(principalField, caller)
      const actorName = actor?.(header)
      if (actorName !== undefined) headers.push(actorField, actorName)
      const { method, url } = request
      const onward = httpRequest({ host: '127.0.0.1', port, method, path: url, headers, agent: false, setHost: false }, (answer) => {
        response.sendDate = false
        for (const [name, values] of Object.entries(answer.headersDistinct)) response.setHeader(name, values as string[])
        response.writeHead(answer.statusCode as number)
        response.flushHeaders()
        answer.on('error', () => response.destroy())
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
      response.on('close', () => onward.destroy())
      request.pipe(onward)
    }
    if (before === undefined) pass()
    else before(request, response, pass)
  }
}

/** Starts a server on a free port. */
export function listening(listener: RequestListener): Promise<SuiteServer> {
  const server: Server = createServer(listener)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const close = (): Promise<void> =>
        new Promise((closed) => {
          server.close(() => closed())
          server.closeAllConnections()
        })
      resolve({ port: (server.address() as AddressInfo).port, close })
    })
  })
}
