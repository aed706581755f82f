import { ConfigurationError, type Engine, fromHex, keyHint, type OperationDefinition } from '../core/index.ts'
import type { IdempotencyKeyOptions } from './idempotency-key.ts'
import { defaultProblemBase, type ProblemFacts, type ProblemName, problem } from './problem.ts'
import { storedHeaderNames } from './replay-header.ts'
import type { HttpResponse } from './response.ts'

/** What a response's status says about its effect. */
export type HttpOutcome =
  /** It is the outcome: recorded and replayed. */
  | 'complete'
  /** As if the handler had thrown: rolled back, released, or uncertain where effects may have started. */
  | 'failed'
  /** The handler declares that nothing happened: the key is free again. */
  | 'not-applied'

/** What a route may say about its protection. Everything has a default, and all of it is published. */
export interface HttpOptions {
  /** `lenient` (default) takes `abc` and `"abc"` for the same key; `strict` takes only the quoted form of the draft. */
  readonly keySyntax?: 'lenient' | 'strict'
  /** Where in a JSON body the key may be, as a JSON pointer such as `/idempotency_key`. The header is read too; both must agree. */
  readonly keyField?: string
  /** Methods that are protected where the route answers several. Default: all but GET, HEAD, OPTIONS and TRACE, which never are. */
  readonly methods?: readonly string[]
  /** Request headers that are part of the payload, such as an API version: another value is another request. */
  readonly fingerprintHeaders?: readonly string[]
  /** Response headers to store and replay besides `replayedHeaders`. */
  readonly replayHeaders?: readonly string[]
  /** Outcomes of statuses that differ from the default: `{ 409: 'not-applied' }`. */
  readonly outcomes?: Readonly<Record<number, HttpOutcome>>
  /** The base of the `type` URIs of problems; ends with a slash. */
  readonly problemBase?: string
  /** Where callers have an unknown or lost outcome looked up; `{record}` is replaced by the record's short hash. */
  readonly resolution?: string
}

/** Methods that change nothing, so that a key has no effect on them (RFC 9110 §9.2.1). */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** Below 500 and not an outcome all the same: the request was turned away before, or instead of, taking effect. */
export const turnedAway: readonly number[] = [401, 403, 408, 425, 429]

/** One protected route: an operation and what HTTP adds to it, checked once and ready for requests. */
export class HttpRoute<Tx> {
  readonly definition: OperationDefinition
  readonly engine: Engine<Tx>
  readonly keyOptions: IdempotencyKeyOptions
  readonly keyField: string | undefined
  readonly methods: readonly string[] | undefined
  readonly fingerprintHeaders: readonly string[]
  readonly storedHeaderNames: ReadonlySet<string>
  readonly outcomes: Readonly<Record<number, HttpOutcome>>
  readonly problemBase: string
  readonly resolution: string | undefined
  readonly #protected: ReadonlySet<string> | undefined

  constructor(operation: { readonly definition: OperationDefinition; readonly engine: Engine<Tx> }, options: HttpOptions) {
    const { definition, engine } = operation
    const { limits } = engine.parts
    this.definition = definition
    this.engine = engine
    this.keyOptions = { syntax: options.keySyntax ?? 'lenient', keyBytesMin: limits.keyBytesMin, keyBytesMax: limits.keyBytesMax }
    this.methods = options.methods?.map((method) => method.toUpperCase())
    this.fingerprintHeaders = (options.fingerprintHeaders ?? []).map((name) => name.toLowerCase())
    this.storedHeaderNames = storedHeaderNames(options.replayHeaders)
    this.outcomes = options.outcomes ?? {}
    this.keyField = options.keyField
    this.problemBase = options.problemBase ?? defaultProblemBase
    this.resolution = options.resolution
    this.#protected = this.methods === undefined ? undefined : new Set(this.methods)
    this.#check()
    const route = this as unknown as HttpRoute<unknown>
    const routes = routesOf.get(definition)
    if (routes === undefined) routesOf.set(definition, [route])
    else routes.push(route)
  }

  /** Whether a key counts for requests of this method. */
  protects(method: string): boolean {
    return !safeMethods.has(method) && (this.#protected === undefined || this.#protected.has(method))
  }

  judge(status: number): HttpOutcome {
    return this.outcomes[status] ?? (status >= 500 || turnedAway.includes(status) ? 'failed' : 'complete')
  }

  problem(name: ProblemName, facts: ProblemFacts = {}): HttpResponse {
    return problem(this.problemBase, name, facts)
  }

  /** The problem of a record that exists, with its short name and where it can be resolved. */
  recordProblem(name: ProblemName, recordHex: string, facts: ProblemFacts = {}): HttpResponse {
    const { hasher, secrets } = this.engine.parts
    const id = recordHex === '' ? undefined : fromHex(recordHex)
    const record = id === undefined ? '' : keyHint(hasher, secrets[0]?.key, id)
    return this.problem(name, { ...facts, record, resolution: this.resolution?.replaceAll('{record}', record) })
  }

  #check(): void {
    const { name } = this.definition
    const safe = this.methods?.find((method) => safeMethods.has(method))
    if (safe !== undefined)
      throw new ConfigurationError(`Route of "${name}": methods names ${safe}, which is safe and never protected. Leave it out.`)
    if (!/^https?:\/\/.+\/$/.test(this.problemBase)) {
      throw new ConfigurationError(
        `Route of "${name}": problemBase is ${JSON.stringify(this.problemBase)}; it must be an absolute URL that ends with a slash.`,
      )
    }
    if (this.keyField !== undefined && !/^(\/([^/~]|~[01])+)+$/.test(this.keyField)) {
      throw new ConfigurationError(
        `Route of "${name}": keyField is ${JSON.stringify(this.keyField)}; it must be a JSON pointer to a member of the body, such as "/idempotency_key".`,
      )
    }
    for (const [status, outcome] of Object.entries(this.outcomes)) {
      const known = outcome === 'complete' || outcome === 'failed' || outcome === 'not-applied'
      if (!/^[2-5]\d\d$/.test(status) || !known) {
        throw new ConfigurationError(
          `Route of "${name}": outcomes has ${status}: ${JSON.stringify(outcome)}; write a status from 200 to 599 with 'complete', 'failed' or 'not-applied'.`,
        )
      }
    }
  }
}

/** The routes declared for each operation, for the published document; gone with their operation. */
const routesOf = new WeakMap<OperationDefinition, HttpRoute<unknown>[]>()

/** The routes that were declared for an operation, in their order. */
export function routesOfOperation(definition: OperationDefinition): readonly HttpRoute<unknown>[] {
  return routesOf.get(definition) ?? []
}
