import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AttemptContext, anonymous, Bind, Oncely, Operation, RecordSummary } from '../core/index.ts'
import type { GuardHttpOptions, HttpResponse } from '../http/index.ts'
import type { Skips, TestRunner } from './runner.ts'
import type { StoreHarness, TransactionalHarness } from './store-harness.ts'

/** An adapter, as the HTTP suite gets to know it: it serves what the suite describes and knows nothing else. */
export interface HttpSuiteOptions<Tx> {
  /** `test` of vitest or of `node:test`. */
  readonly test: TestRunner
  /** A store with no records, for each case. */
  readonly open: () => Promise<HttpStoreHarness<Tx>>
  /** Starts an application of the adapter on a free port of 127.0.0.1. */
  readonly serve: (application: SuiteApplication) => Promise<SuiteServer>
  /** What the operations of the suite are bound to. */
  readonly bind: 'lease' | 'transaction'
  /** Cases that cannot hold here, by their full name, with the reason. */
  readonly skip?: Skips
}

/** What the HTTP suite needs of a store: less than the store suite does. */
export interface HttpStoreHarness<Tx> extends Pick<StoreHarness, 'store' | 'advance' | 'close'> {
  /** Where `bind` is `transaction`. */
  readonly transactional?: Pick<TransactionalHarness<Tx>, 'effects'>
}

/** What the adapter serves: these routes, and the published document at its well-known place. */
export interface SuiteApplication {
  readonly oncely: Oncely<unknown>
  readonly routes: readonly SuiteRoute[]
}

export interface SuiteServer {
  readonly port: number
  /** Ends every connection. */
  close(): Promise<void>
}

/** Reads one header of the request. */
export type SuiteHeaders = (name: string) => string | undefined

/** Middleware as Node frameworks know it. */
export type SuiteMiddleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

interface SuiteRouteBase {
  /** In upper case; `ALL` for every method. */
  readonly method: string
  /** With parameters as in `/payments/:id`. */
  readonly path: string
  readonly options: GuardHttpOptions
  readonly principal: (header: SuiteHeaders) => string | typeof anonymous | undefined
  readonly actor?: (header: SuiteHeaders) => string | undefined
  readonly authorizeReplay?: (header: SuiteHeaders, record: RecordSummary) => boolean
  /** Runs before the protection, as an application's authentication does. */
  readonly before?: SuiteMiddleware
}

/** A handler that returns its response. */
export interface SuiteHandleRoute extends SuiteRouteBase {
  readonly kind: 'handle'
  readonly operation: Operation<unknown, unknown, unknown, Bind>
  readonly handler: (context: SuiteContext) => Promise<HttpResponse> | HttpResponse
}

/** Protection around a handler that writes its response itself. */
export interface SuiteGuardRoute extends SuiteRouteBase {
  readonly kind: 'guard'
  readonly operation: Operation<unknown, unknown, unknown, 'lease'>
  /** Runs between the protection and the handler, as compression of one route does. */
  readonly inside?: SuiteMiddleware
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void
}

export type SuiteRoute = SuiteHandleRoute | SuiteGuardRoute

/** What a handler of the suite gets; `tx` where its operation is bound to a transaction. */
export type SuiteContext = AttemptContext & { readonly input: unknown; readonly tx?: unknown }
