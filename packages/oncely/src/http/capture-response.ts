import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Clock } from '../core/index.ts'
import type { HeaderLine } from './header-line.ts'
import { ResponseOverride } from './response-override.ts'

/** What an existing handler answered. */
export interface CapturedResponse {
  /** `whole`: every byte is here and none is sent. `oversize`, `stream`: the bytes went through as they were written. */
  readonly kind: 'whole' | 'oversize' | 'stream'
  readonly status: number
  /** Names in lower case, one pair a line. */
  readonly headers: readonly HeaderLine[]
  /** Empty unless `whole`. */
  readonly body: Uint8Array
}

export interface CaptureLimits {
  readonly clock: Clock
  readonly responseBytesMax: number
  /** The response is a stream and is never held back. */
  readonly stream: boolean
  /** How long a handler whose client is gone may be silent before its attempt is given up. */
  readonly abandonAfterMs: number
}

/** The handler will not end its response any more; the attempt is settled as if it had thrown. */
export class HandlerAbandoned extends Error {
  constructor(why: string) {
    super(`The handler did not end its response: ${why}.`)
    this.name = 'HandlerAbandoned'
  }
}

/**
 * Holds back what an existing handler writes, so that nothing reaches the socket before the outcome is durable.
 *
 *   holding ──end───────────────────────▶ ended ──send──▶ released    the whole response is known, stored, then sent
 *      │                                    └──discard──▶ released    another answer takes its place
 *      ├─more bytes than are stored────▶ passing ──end──▶ ended       kind `oversize`
 *      ├─event stream, flushHeaders()──▶ passing ──end──▶ ended       kind `stream`
 *      └─destroyed by the handler, or the client is gone and the handler silent──▶ released (`ended` rejects)
 *
 * While `passing`, bytes go through as they are written and only the end waits until the record is completed. Informational
 * responses and trailers are not touched, `finish` and `close` are the real events, and middleware inside keeps working.
 */
export class ResponseCapture {
  /** Resolves when the handler has ended its response; rejects with `HandlerAbandoned`. */
  readonly ended: Promise<CapturedResponse>
  readonly #response: ServerResponse
  readonly #limits: CaptureLimits
  readonly #override: ResponseOverride
  readonly #before: { readonly status: number; readonly message: string; readonly headers: OutgoingHttpHeaders }
  #state: 'holding' | 'passing' | 'ended' | 'released' = 'holding'
  #kind: CapturedResponse['kind'] = 'whole'
  /** The status at the moment from which the handler may count its head as sent. */
  #sealedStatus: number | undefined
  #chunks: Uint8Array[] = []
  #bytes = 0
  #onFinish: (() => void) | undefined
  #settle: { resolve(captured: CapturedResponse): void; reject(error: unknown): void } = { resolve: () => {}, reject: () => {} }
  #stopWaiting: () => void = () => {}

  constructor(response: ServerResponse, limits: CaptureLimits) {
    this.#response = response
    this.#limits = limits
    this.#before = { status: response.statusCode, message: response.statusMessage, headers: response.getHeaders() }
    this.ended = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.#override = new ResponseOverride(response)
    this.#override.install({
      write: this.#write.bind(this),
      end: this.#end.bind(this),
      destroy: this.#destroy.bind(this),
      writeHead: this.#writeHead.bind(this),
      flushHeaders: () => this.#pass('stream', true),
      headersSent: () => this.#sealedStatus !== undefined,
      writableEnded: () => this.#state === 'ended',
    })
    response.once('close', () => this.#waitForHandler())
    this.#heard()
    if (limits.stream) this.#pass('stream', false)
  }

  /** Lets the response out as the handler made it, with these headers added unless its head is already on its way. */
  send(marks: readonly HeaderLine[]): void {
    const { original } = this.#override
    const response = this.#response
    const onFinish = this.#onFinish
    const body = this.#body()
    this.#release()
    if (this.#kind === 'whole') {
      response.statusCode = this.#sealedStatus ?? response.statusCode
      for (const [name, value] of marks) response.setHeader(name, value)
    }
    // Not handed to `end`: middleware outside that replaced it may not know this form of the call.
    if (onFinish !== undefined) response.once('finish', onFinish)
    if (body.length === 0) original.end.call(response)
    else original.end.call(response, body)
  }

  /** Takes everything back, so that another answer can be sent; false when bytes are already on their way. */
  discard(): boolean {
    if (this.#kind !== 'whole') return false
    this.#release()
    const response = this.#response
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    for (const [name, value] of Object.entries(this.#before.headers)) if (value !== undefined) response.setHeader(name, value)
    response.statusCode = this.#before.status
    response.statusMessage = this.#before.message
    return true
  }

  #write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    const done = [encoding, callback].find((argument) => typeof argument === 'function') as ((error?: Error) => void) | undefined
    if (this.#state === 'ended') {
      if (done !== undefined) process.nextTick(done, streamError('ERR_STREAM_WRITE_AFTER_END', 'write after end'))
      return false
    }
    // Copied where it is kept: from its callback on, the handler may use its buffer again.
    return this.#take(
      typeof chunk === 'string' ? chunk : this.#state === 'holding' ? Buffer.from(asBytes(chunk)) : asBytes(chunk),
      encoding,
      done,
    )
  }

  #end(chunk?: unknown, encoding?: unknown, callback?: unknown): ServerResponse {
    const done = [chunk, encoding, callback].find((argument) => typeof argument === 'function') as ((error?: Error) => void) | undefined
    if (this.#state === 'ended') {
      if (done !== undefined) process.nextTick(done, streamError('ERR_STREAM_ALREADY_FINISHED', 'end was called before'))
      return this.#response
    }
    if (chunk !== undefined && chunk !== null && typeof chunk !== 'function')
      this.#take(typeof chunk === 'string' ? chunk : asBytes(chunk), encoding)
    else this.#seal()
    this.#state = 'ended'
    this.#stopWaiting()
    this.#onFinish = done
    const status = this.#sealedStatus ?? this.#response.statusCode
    // RFC 9110 §6.4.1: these have no content, whatever was written.
    if (status === 204 || status === 304) this.#chunks = []
    this.#settle.resolve({ kind: this.#kind, status, headers: headerLines(this.#response.getHeaders()), body: this.#body() })
    return this.#response
  }

  /** Takes bytes: holds them back, or passes them on where that is no longer possible. */
  #take(chunk: string | Uint8Array, encoding: unknown, done?: () => void): boolean {
    this.#seal()
    if (this.#state === 'holding') {
      const bytes =
        typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8') : chunk
      if (this.#bytes + bytes.length <= this.#limits.responseBytesMax) {
        this.#chunks.push(bytes)
        this.#bytes += bytes.length
        if (done !== undefined) process.nextTick(done)
        this.#heard()
        return true
      }
      this.#pass('oversize', false)
    }
    this.#heard()
    return this.#override.original.write.call(this.#response, chunk, typeof encoding === 'string' ? encoding : undefined, done)
  }

  #writeHead(status: number, ...rest: unknown[]): ServerResponse {
    const response = this.#response
    if (this.#sealedStatus !== undefined) {
      // Middleware inside that sees no head on the wire asks for it again and again, with the same status.
      if (rest.length === 0 && status === this.#sealedStatus) return response
      throw headersSent('write')
    }
    const [message, headers] = typeof rest[0] === 'string' ? [rest[0], rest[1]] : [undefined, rest[0] ?? rest[1]]
    response.statusCode = status
    if (message !== undefined) response.statusMessage = message
    setHeaders(response, headers)
    this.#seal()
    return response
  }

  /** From here on the handler's head counts as sent: it cannot be changed, and an event stream is let through. */
  #seal(): void {
    if (this.#sealedStatus !== undefined || this.#state !== 'holding') return
    this.#sealedStatus = this.#response.statusCode
    this.#override.freezeHead(headersSent)
    if (isEventStream(this.#response.getHeader('content-type'))) this.#pass('stream', false)
  }

  /** Stops holding back. The record is not storable from here on: it is completed without its response. */
  #pass(kind: 'oversize' | 'stream', flush: boolean): void {
    if (this.#state !== 'holding') return
    this.#state = 'passing'
    this.#kind = kind
    const response = this.#response
    this.#override.releaseHead()
    response.statusCode = this.#sealedStatus ?? response.statusCode
    for (const chunk of this.#chunks.splice(0)) this.#override.original.write.call(response, chunk)
    if (flush) response.flushHeaders()
  }

  #destroy(error?: Error): ServerResponse {
    this.#fail('it destroyed the response')
    return this.#response.destroy(error)
  }

  /** The client is gone. The handler may go on and end its response, which is then stored; silence is not waited for for ever. */
  #waitForHandler(): void {
    if (this.#state !== 'holding' && this.#state !== 'passing') return
    this.#stopWaiting()
    this.#stopWaiting = this.#limits.clock.after(
      this.#limits.abandonAfterMs,
      () => this.#fail(`its client is gone, and it wrote nothing for ${this.#limits.abandonAfterMs} ms`),
      'background',
    )
  }

  #heard(): void {
    if (this.#response.destroyed) this.#waitForHandler()
  }

  #fail(why: string): void {
    if (this.#state !== 'holding' && this.#state !== 'passing') return
    this.#release()
    this.#settle.reject(new HandlerAbandoned(why))
  }

  #release(): void {
    this.#state = 'released'
    this.#chunks = []
    this.#stopWaiting()
    this.#override.remove()
  }

  #body(): Uint8Array {
    const [first, ...others] = this.#chunks
    if (first === undefined) return empty
    if (others.length > 0) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] as Uint8Array
  }
}

const empty = new Uint8Array(0)

function asBytes(chunk: unknown): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  throw new TypeError(
    `A chunk of a response is a string, Buffer or Uint8Array; this one is ${chunk === null ? 'null' : `of type ${typeof chunk}`}.`,
  )
}

function isEventStream(contentType: unknown): boolean {
  return typeof contentType === 'string' && /^\s*(text\/event-stream|multipart\/x-mixed-replace)\s*(;|$)/i.test(contentType)
}

function headerLines(headers: OutgoingHttpHeaders): readonly HeaderLine[] {
  return Object.entries(headers).flatMap(([name, value]): readonly HeaderLine[] => {
    if (value === undefined) return []
    return Array.isArray(value) ? value.map((line) => [name, String(line)] as const) : [[name, String(value)]]
  })
}

/** The headers of a `writeHead` call: an object, or names and values in turn, flat or in pairs. */
function setHeaders(response: ServerResponse, headers: unknown): void {
  if (headers === undefined || headers === null) return
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers as OutgoingHttpHeaders)) if (value !== undefined) response.setHeader(name, value)
    return
  }
  const flat = headers.flat() as string[]
  const pairs = flat.flatMap((name, at) => (at % 2 === 0 ? [[name, String(flat[at + 1])] as const] : []))
  for (const [name] of pairs) response.removeHeader(name)
  for (const [name, value] of pairs) response.appendHeader(name, value)
}

function headersSent(what: string): Error {
  return streamError('ERR_HTTP_HEADERS_SENT', `Cannot ${what} headers after they are sent to the client`)
}

function streamError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
