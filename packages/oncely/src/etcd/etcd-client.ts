import type { SecureContextOptions } from 'node:tls'
import { type Clock, ConfigurationError, checkBound, StoreUnavailable, sleep } from '../core/index.ts'
import { nodeClock } from '../platform/index.ts'
import { EtcdHttp, HttpFailure } from './etcd-http.ts'
import {
  after,
  decodeKey,
  encode,
  type Transaction,
  type TransactionAnswer,
  transactionAnswer,
  type WireTransactionAnswer,
  type WireWatchAnswer,
} from './etcd-message.ts'
import { NodeTime } from './node-time.ts'

/** Where etcd is and how long it may take. */
export interface EtcdClientOptions {
  /** The clients' URLs of the nodes, such as `http://10.0.0.1:2379`; list all of them, so that one may fail. */
  readonly endpoints: readonly string[]
  /** Certificate authority, certificate and key for `https:` endpoints, as `node:tls` takes them. */
  readonly tls?: SecureContextOptions
  /** A user of etcd's own, where authentication is on. */
  readonly user?: { readonly name: string; readonly password: string }
  /** Longest wait for one node before the next is asked; default 1000. */
  readonly nodeMs?: number
  /** Longest wait for an answer of any node, beyond the election of a leader; default 8000. */
  readonly answerMs?: number
  /** Connections to each node, at most; default 64. */
  readonly socketsMax?: number
  /** For tests. */
  readonly clock?: Clock
}

/** A client of etcd's JSON gateway (3.4 and newer): no dependency, for the store and the locks. */
export interface EtcdClient {
  /**
   * One atomic step. Asks the next node when one does not answer, so a step may reach the cluster twice: its compares must let it
   * happen once only.
   */
  transact(transaction: Transaction): Promise<TransactionAnswer>
  /** A lease of whole seconds, at least the cluster's own minimum; answers the seconds it got. */
  grantLease(id: string, seconds: number): Promise<number>
  /** Starts the lease again; answers its seconds, or 0 when it has ended. */
  keepLease(id: string): Promise<number>
  /** Ends the lease and removes its keys. */
  revokeLease(id: string): Promise<void>
  /** Keys that begin with `prefix` and change from now on: `begin` when a node tells of them, `end` when it no longer does. */
  watch(prefix: string, listen: EtcdListener): () => void
  /** Nodes that vote. */
  voters(): Promise<number>
  /** Milliseconds since the Unix epoch by the nodes' clocks, as narrow as their answers tell; asks all of them the first time. */
  time(): Promise<EtcdTime>
  close(): void
}

export interface EtcdListener {
  begin(): void
  change(keys: readonly string[]): void
  end(): void
}

export interface EtcdTime {
  /** The process's own wall clock where it lies within the doubt, else the nearer end. */
  readonly nowMs: number
  /** No node's clock is before this. */
  readonly earliestMs: number
}

/** How one node ended a request: what it answered, or that another may be asked. */
type Tried =
  | { readonly word: 'answered'; readonly text: string }
  | { readonly word: 'next'; readonly applied: 'no' | 'unknown'; readonly why: Error }

/** gRPC codes: of a refusal that another node would repeat, and of a missing or old authentication token. */
const codes = { alreadyExists: 6, notFound: 5, failedPrecondition: 9, unauthenticated: 16 } as const
const finalCodes: ReadonlySet<number> = new Set([3, 5, 6, 7, 9, 11, 12, 16])
const pauseMs = 50

/** A refusal that stands whichever node is asked. */
class EtcdRefusal extends Error {
  readonly code: number

  constructor(message: string, code: number) {
    super(message)
    this.code = code
  }
}

/**
 * A client for `etcdStore` and `etcdLock`; one is enough for both.
 *
 * @throws ConfigurationError for an endpoint that is no URL of HTTP, or an option out of its bounds.
 *
 * @example
 * const etcd = etcdClient({ endpoints: ['http://10.0.0.1:2379', 'http://10.0.0.2:2379', 'http://10.0.0.3:2379'] })
 */
export function etcdClient(options: EtcdClientOptions): EtcdClient {
  return new GatewayClient(options)
}

class GatewayClient implements EtcdClient {
  readonly #endpoints: readonly string[]
  readonly #clock: Clock
  readonly #http: EtcdHttp
  readonly #time = new NodeTime()
  readonly #nodeMs: number
  readonly #answerMs: number
  readonly #user: EtcdClientOptions['user']
  #token: Promise<string> | undefined
  /** The node that answered last is asked first. */
  #preferred = 0
  #sighted: Promise<unknown> | undefined

  constructor(options: EtcdClientOptions) {
    this.#endpoints = options.endpoints.map(checkedEndpoint)
    if (this.#endpoints.length === 0) throw new ConfigurationError('endpoints is empty; name the URL of each node.')
    this.#clock = options.clock ?? nodeClock
    this.#nodeMs = checkBound('nodeMs', options.nodeMs, { preset: 1_000, min: 10, max: 60_000 })
    this.#answerMs = checkBound('answerMs', options.answerMs, { preset: 8_000, min: 10, max: 600_000 })
    this.#user = options.user
    const socketsMax = checkBound('socketsMax', options.socketsMax, { preset: 64, min: 1, max: 10_000 })
    this.#http = new EtcdHttp(this.#clock, socketsMax, options.tls ?? {})
  }

  async transact(transaction: Transaction): Promise<TransactionAnswer> {
    return transactionAnswer((await this.#ask('/v3/kv/txn', transaction)) as WireTransactionAnswer)
  }

  async grantLease(id: string, seconds: number): Promise<number> {
    try {
      const { TTL = '0' } = (await this.#ask('/v3/lease/grant', { ID: id, TTL: String(seconds) })) as { TTL?: string }
      return Number(TTL)
    } catch (error) {
      // The id is random: it is ours, of a sending whose answer was lost.
      if (refusalCode(error) !== codes.failedPrecondition && refusalCode(error) !== codes.alreadyExists) throw error
      return this.keepLease(id)
    }
  }

  async keepLease(id: string): Promise<number> {
    const { result } = (await this.#ask('/v3/lease/keepalive', { ID: id })) as { result?: { TTL?: string } }
    return Number(result?.TTL ?? 0)
  }

  async revokeLease(id: string): Promise<void> {
    await this.#ask('/v3/lease/revoke', { ID: id }).catch((error: unknown) => {
      if (refusalCode(error) !== codes.notFound) throw error
    })
  }

  watch(prefix: string, listen: EtcdListener): () => void {
    const asked = this.#preferred
    const endpoint = this.#endpoints[asked] ?? ''
    const message = { create_request: { key: encode(prefix), range_end: encode(after(prefix)) } }
    let hangUp = (): void => {}
    let open = true
    const end = (): void => {
      if (!open) return
      open = false
      hangUp()
      if (this.#preferred === asked) this.#preferred = (asked + 1) % this.#endpoints.length
      listen.end()
    }
    const line = (text: string): void => {
      const { result } = JSON.parse(text) as WireWatchAnswer
      if (result === undefined || result.canceled) end()
      else if (result.created) listen.begin()
      if (result?.events !== undefined) listen.change(result.events.map(({ kv }) => decodeKey(kv.key)))
    }
    const begin = (headers: Readonly<Record<string, string>>): void => {
      if (open) hangUp = this.#http.stream(endpoint, '/v3/watch', JSON.stringify(message), headers, { line, end })
    }
    this.#headers(endpoint).then(begin, end)
    return () => {
      open = false
      hangUp()
    }
  }

  async voters(): Promise<number> {
    const { members = [] } = (await this.#ask('/v3/cluster/member/list', {})) as { members?: readonly { isLearner?: boolean }[] }
    return members.filter(({ isLearner }) => !isLearner).length
  }

  async time(): Promise<EtcdTime> {
    const sightAll = (): Promise<unknown> =>
      Promise.all(this.#endpoints.map((endpoint) => this.#try(endpoint, '/v3/maintenance/status', '{}', this.#nodeMs)))
    this.#sighted ??= sightAll()
    await this.#sighted
    if (this.#time.bounds(this.#clock.monotonicMs()) === undefined) await this.#ask('/v3/maintenance/status', {})
    const bounds = this.#time.bounds(this.#clock.monotonicMs())
    if (bounds === undefined)
      throw new StoreUnavailable('etcd gave no time: the answers carry no Date header. Let the proxy pass it on.', { applied: 'no' })
    return { nowMs: Math.round(Math.min(Math.max(this.#clock.nowMs(), bounds.earliestMs), bounds.latestMs)), earliestMs: bounds.earliestMs }
  }

  close(): void {
    this.#http.close()
  }

  /** Node after node until one answers, a refusal stands, or the time is over. */
  async #ask(path: string, message: unknown): Promise<unknown> {
    const body = JSON.stringify(message)
    const deadlineMs = this.#clock.monotonicMs() + this.#answerMs
    let applied: 'no' | 'unknown' = 'no'
    for (let tries = 1; ; tries++) {
      const asked = this.#preferred
      const limitMs = Math.max(1, Math.min(this.#nodeMs, deadlineMs - this.#clock.monotonicMs()))
      const tried = await this.#try(this.#endpoints[asked] ?? '', path, body, limitMs)
      if (tried.word === 'answered') return parsed(tried.text)
      if (tried.why instanceof EtcdRefusal && stands(tried.why)) throw refused(tried.why, applied)
      if (tried.applied === 'unknown') applied = 'unknown'
      // Calls that failed together move on together, once.
      if (this.#preferred === asked) this.#preferred = (asked + 1) % this.#endpoints.length
      if (tries % this.#endpoints.length === 0) await sleep(this.#clock, pauseMs)
      if (this.#clock.monotonicMs() < deadlineMs) continue
      throw new StoreUnavailable(
        `None of ${this.#endpoints.length} etcd nodes answered within ${this.#answerMs} ms (${tried.why.message}); look at the cluster, or raise answerMs.`,
        { applied },
        { cause: tried.why },
      )
    }
  }

  async #try(endpoint: string, path: string, body: string, limitMs: number): Promise<Tried> {
    try {
      const answer = await this.#http.post(endpoint, path, body, limitMs, await this.#headers(endpoint))
      this.#time.sight(endpoint, answer)
      if (answer.status === 200) return { word: 'answered', text: answer.text }
      const why = refusalOf(answer.text, answer.status)
      if (why.code === codes.unauthenticated && this.#user !== undefined) {
        this.#token = undefined
        return { word: 'next', applied: 'no', why: new Error(why.message) }
      }
      // Of those that another node may answer, only "too many requests" says that nothing was begun.
      return {
        word: 'next',
        applied: stands(why) || /too many requests/.test(why.message) ? 'no' : 'unknown',
        why,
      }
    } catch (error) {
      const why = error instanceof Error ? error : new Error(String(error))
      return { word: 'next', applied: error instanceof HttpFailure && !error.sent ? 'no' : 'unknown', why }
    }
  }

  async #headers(endpoint: string): Promise<Readonly<Record<string, string>>> {
    if (this.#user === undefined) return {}
    this.#token ??= this.#authenticate(endpoint, this.#user)
    try {
      return { authorization: await this.#token }
    } catch (error) {
      this.#token = undefined
      throw error
    }
  }

  async #authenticate(endpoint: string, user: NonNullable<EtcdClientOptions['user']>): Promise<string> {
    const { status, text } = await this.#http.post(endpoint, '/v3/auth/authenticate', JSON.stringify(user), this.#nodeMs, {})
    if (status !== 200) throw new HttpFailure(refusalOf(text, status).message, false)
    return (JSON.parse(text) as { token: string }).token
  }
}

function checkedEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === '') return url.origin
  throw new ConfigurationError('endpoints holds what is no URL such as "http://10.0.0.1:2379"; a user goes into the option user.')
}

/** Whether another node would refuse the same. */
function stands({ code, message }: EtcdRefusal): boolean {
  return finalCodes.has(code) || /space exceeded|too large/.test(message)
}

/** The gateway answers a stream of one message as that message on a line. */
function parsed(text: string): unknown {
  return JSON.parse(text)
}

function refusalOf(text: string, status: number): EtcdRefusal {
  try {
    const {
      error = '',
      message = error,
      code = 2,
    } = JSON.parse(/^\{.*?\}/s.exec(text)?.[0] ?? text) as { error?: string; message?: string; code?: number }
    return new EtcdRefusal(message, code)
  } catch {
    return new EtcdRefusal(`HTTP ${status}`, 2)
  }
}

function refusalCode(error: unknown): number | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof EtcdRefusal ? cause.code : undefined
}

function refused(why: EtcdRefusal, applied: 'no' | 'unknown'): StoreUnavailable {
  const hint = /too large/.test(why.message) ? ' Raise --max-request-bytes of the nodes, or lower limits.responseBytesMax.' : ''
  return new StoreUnavailable(`etcd refused: ${why.message}.${hint}`, { applied }, { cause: why })
}
