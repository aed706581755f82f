import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type BudgetOptions,
  type Clock,
  type Limits,
  Oncely,
  type OncelyEvent,
  type OncelyOptions,
  type OperationOptions,
  type PolicyName,
  type PolicyOptions,
  type Store,
} from '../../core/index.ts'
import { type GuardHttpOptions, type HttpResponse, reply } from '../../http/index.ts'
import { nodeClock, nodeHasher, nodeRandom } from '../../platform/index.ts'
import type {
  HttpStoreHarness,
  HttpSuiteOptions,
  SuiteContext,
  SuiteGuardRoute,
  SuiteHandleRoute,
  SuiteMiddleware,
  SuiteRoute,
  SuiteServer,
} from '../http-harness.ts'
import type { Cases } from '../runner.ts'
import { type Exchanged, type ExchangeOptions, exchange } from './exchange.ts'

export type HttpCases = Cases<HttpWorld>

/** What one application of a case differs in from `POST /payments` under the standard policy. */
export interface AppOptions {
  readonly preset?: PolicyName
  readonly policy?: PolicyOptions
  readonly operation?: Partial<OperationOptions<unknown, unknown>>
  readonly http?: GuardHttpOptions
  readonly limits?: Partial<Limits>
  readonly budget?: BudgetOptions
  readonly secrets?: OncelyOptions['secrets']
  /** Default: the clock of this process. */
  readonly clock?: Clock
  /** Stands between the application and its store. */
  readonly store?: (store: Store) => Store
  readonly method?: string
  readonly path?: string
  readonly caller?: Partial<Pick<SuiteRoute, 'principal' | 'actor' | 'authorizeReplay' | 'before'>>
  /** Default: 201 with the number of the run and the input. */
  readonly handler?: (context: SuiteContext) => Promise<HttpResponse> | HttpResponse
  /** Protects this handler instead. */
  readonly guarded?: (request: IncomingMessage, response: ServerResponse) => void
  readonly inside?: SuiteMiddleware
  /** A second operation of the same instance at this path. */
  readonly otherPath?: string
}

/** A started application and what it did. */
export interface App {
  readonly oncely: Oncely<unknown>
  readonly events: readonly OncelyEvent[]
  readonly port: number
  /** How often a handler was entered. */
  readonly runs: number
  /** `POST` of a JSON body to the application's path. */
  post(key: string | readonly string[] | undefined, body?: unknown, options?: ExchangeOptions): Promise<Exchanged>
  send(options: ExchangeOptions): Promise<Exchanged>
  /** Waits for an event of this type. */
  until(type: OncelyEvent['type']): Promise<OncelyEvent>
}

/** One case's store, and the applications it starts over it; each is a process of its own as far as the library can tell. */
export class HttpWorld {
  readonly bind: 'lease' | 'transaction'
  readonly harness: HttpStoreHarness<unknown>
  readonly #serve: HttpSuiteOptions<never>['serve']
  readonly #servers: SuiteServer[] = []
  readonly #instances: Oncely<unknown>[] = []

  constructor(options: Pick<HttpSuiteOptions<never>, 'bind' | 'serve'>, harness: HttpStoreHarness<unknown>) {
    this.bind = options.bind
    this.#serve = options.serve
    this.harness = harness
  }

  /** The user's own table, where operations are bound to a transaction. */
  get effects(): NonNullable<HttpStoreHarness<unknown>['transactional']>['effects'] {
    assert.ok(this.harness.transactional, 'bind "transaction" needs a transactional harness')
    return this.harness.transactional.effects
  }

  async start(options: AppOptions = {}): Promise<App> {
    const events: OncelyEvent[] = []
    const watchers = new Set<() => void>()
    const store = options.store?.(this.harness.store) ?? this.harness.store
    const oncely = new Oncely<unknown>(
      { clock: options.clock ?? nodeClock, random: nodeRandom, hasher: nodeHasher },
      {
        namespace: 'suite',
        store,
        ...(options.limits === undefined ? {} : { limits: options.limits }),
        ...(options.budget === undefined ? {} : { budget: options.budget }),
        ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
        events: (event) => {
          events.push(event)
          for (const look of watchers) look()
        },
      },
    )
    this.#instances.push(oncely)
    const count = { runs: 0 }
    const routes = this.#routes(oncely, options, count)
    const server = await this.#serve({ oncely, routes })
    this.#servers.push(server)
    const { port } = server
    const path = options.path ?? '/payments'
    const send = (request: ExchangeOptions): Promise<Exchanged> => exchange(port, { path, ...request })
    return {
      oncely,
      events,
      port,
      get runs() {
        return count.runs
      },
      send,
      post: (key, body = { amount: 100 }, request = {}) =>
        send({
          ...request,
          headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }), ...request.headers },
          body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
        }),
      until: (type) => eventOf(events, watchers, type),
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#instances.map((oncely) => oncely.drain()))
    await Promise.all(this.#servers.map((server) => server.close()))
  }

  #routes(oncely: Oncely<unknown>, options: AppOptions, count: { runs: number }): SuiteRoute[] {
    const policy = [options.preset ?? 'standard', { survives: 'nothing', ...options.policy }] as const
    const shared = {
      method: options.method ?? 'POST',
      path: options.path ?? '/payments',
      options: options.http ?? {},
      principal: (header: (name: string) => string | undefined) => header('x-account') ?? 'account-1',
      ...options.caller,
    }
    const { guarded } = options
    if (guarded !== undefined) {
      const operation = oncely.operation('create-payment', { policy, bind: 'lease', ...options.operation } as OperationOptions<
        unknown,
        unknown,
        'lease'
      >)
      const handler: SuiteGuardRoute['handler'] = (request, response) => {
        count.runs++
        guarded(request, response)
      }
      return [{ ...shared, kind: 'guard', operation, handler, ...(options.inside === undefined ? {} : { inside: options.inside }) }]
    }
    const handler = options.handler ?? ((context: SuiteContext) => reply(201, { run: count.runs, input: context.input ?? null }))
    const counted: SuiteHandleRoute['handler'] = (context) => {
      count.runs++
      return handler(context)
    }
    const operation = (name: string): SuiteHandleRoute['operation'] =>
      oncely.operation(name, { policy, bind: this.bind, ...options.operation } as OperationOptions<unknown, unknown, 'lease'>)
    const route = (name: string, path: string): SuiteRoute => ({
      ...shared,
      path,
      kind: 'handle',
      operation: operation(name),
      handler: counted,
    })
    return [route('create-payment', shared.path), ...(options.otherPath === undefined ? [] : [route('create-refund', options.otherPath)])]
  }
}

function eventOf(events: readonly OncelyEvent[], watchers: Set<() => void>, type: OncelyEvent['type']): Promise<OncelyEvent> {
  return new Promise((resolve) => {
    const look = (): void => {
      const found = events.find((event) => event.type === type)
      if (found === undefined) return
      watchers.delete(look)
      resolve(found)
    }
    watchers.add(look)
    look()
  })
}

/** A store with some of its methods replaced. */
export function interposed(store: Store, methods: (store: StoreMethods) => Partial<StoreMethods>): Store {
  const replaced = methods(store as StoreMethods) as Record<PropertyKey, unknown>
  return new Proxy(store, {
    get: (target, name) => {
      const value = replaced[name] ?? Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
}

/** A store's methods, those of a transactional one included, where it is one. */
export type StoreMethods = Store & { transact(...args: unknown[]): Promise<{ readonly word: string }> }

/** Asserts a problem of this name, with its machine fields, and answers its body. */
export function assertProblem(response: Exchanged, status: number, name: string): Record<string, unknown> {
  assert.equal(response.status, status, response.body.toString('utf8'))
  assert.equal(response.header('content-type'), 'application/problem+json')
  assert.equal(response.header('content-language'), 'en')
  const body = response.json()
  assert.ok(String(body['type']).endsWith(`/${name}`), `type is ${String(body['type'])}, expected …/${name}`)
  assert.equal(body['status'], status)
  for (const field of ['retryable', 'same_key', 'safe_new_key']) assert.equal(typeof body[field], 'boolean', field)
  return body
}

/** Asserts that the second answer is the first one again, and says so. */
export function assertReplay(first: Exchanged, second: Exchanged): void {
  assert.equal(second.status, first.status, second.body.toString('utf8'))
  assert.deepEqual(second.body, first.body)
  assert.equal(first.header('idempotent-replayed'), undefined)
  assert.equal(second.header('idempotent-replayed'), 'true')
}

let keys = 0

/** A key that no other case uses. */
export function freshKey(): string {
  return `key-${++keys}-${nodeRandom.uuid()}`
}
