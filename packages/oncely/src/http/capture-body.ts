import type { IncomingMessage } from 'node:http'
import type { RequestBody } from './request-facts.ts'

// The bytes of a request's body, beside whatever else reads it.
//
//   captureBody ─▶ copies each chunk as the connection delivers it; parsers after it read the stream as ever
//   requestBody ─▶ what was captured; else, where nobody has read the stream, reads it and puts it back for whoever comes next

const captureKey: unique symbol = Symbol('oncely.captured-body')

interface Capturable extends IncomingMessage {
  [captureKey]?: BodyCapture
}

/** A body on its way in. */
interface BodyCapture {
  /** Undefined while it is on its way. */
  body: RequestBody | undefined
  /** Bytes had arrived before the capture began. */
  readonly late: boolean
  readonly bytesMax: number
  readonly push: IncomingMessage['push']
  readonly chunks: Buffer[]
  bytes: number
  /** Called when the last byte is there. */
  whenEnded: (() => void) | undefined
}

/** Node's HTTP/2 requests say otherwise whether they have a body and when it ends: a body taken for none would be a wrong replay. */
const http2Fix = 'HTTP/2 requests are not supported here: end HTTP/2 in the proxy before this process, or in the gateway.'

const noBody: RequestBody = { kind: 'bytes', bytes: new Uint8Array(0) }

/**
 * Begins to copy the body of a request that carries a key, or of any request (`all`). It consumes nothing and never waits. Call it
 * before anything reads the body, in the turn in which the request arrived.
 */
export function captureBody(request: IncomingMessage, bytesMax: number, all = false): void {
  const capturable = request as Capturable
  if (
    request.httpVersionMajor > 1 ||
    (!all && request.headers['idempotency-key'] === undefined) ||
    !hasBody(request) ||
    capturable[captureKey] !== undefined
  )
    return
  const late = request.readableLength > 0 || request.readableDidRead || request.complete
  capturable[captureKey] = { body: undefined, late, bytesMax, push: request.push, chunks: [], bytes: 0, whenEnded: undefined }
  if (!late) request.push = capturingPush
}

/** `push` of a captured request: one function for all of them, so that the server's call to it stays as fast as it was. */
function capturingPush(this: IncomingMessage, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
  const capture = (this as Capturable)[captureKey] as BodyCapture
  if (chunk === null) {
    capture.body ??= { kind: 'bytes', bytes: joined(capture.chunks) }
    capture.whenEnded?.()
  } else if (capture.body === undefined) {
    capture.bytes += chunk.length
    if (capture.bytes <= capture.bytesMax) capture.chunks.push(chunk)
    else capture.body = { kind: 'too-large', bytesMax: capture.bytesMax }
  }
  return capture.push.call(this, chunk, encoding)
}

/** The body's bytes, captured or read here. Reading leaves the stream as it was: parsers after it get every byte. */
export function requestBody(request: IncomingMessage, bytesMax: number): RequestBody | Promise<RequestBody> {
  if (request.httpVersionMajor > 1) return { kind: 'not-captured', fix: http2Fix }
  const capture = (request as Capturable)[captureKey]
  if (capture?.body !== undefined) return capture.body
  if (!hasBody(request) || (request.readableEnded && !request.readableDidRead)) return noBody
  const untouched = !request.readableDidRead && request.readableFlowing !== true && request.readableEncoding === null
  if (untouched) return readAhead(request, bytesMax)
  if (capture !== undefined && !capture.late) return untilCaptured(request, capture)
  const fix = capture?.late
    ? 'capture() came after bytes had arrived: put it before every middleware that waits for something.'
    : "Put capture() before every body parser: app.use(capture()), or in Fastify app.addHook('onRequest', capture()); with { requests: 'all' } where keys are not in the header."
  return { kind: 'not-captured', fix }
}

/** RFC 9112 §6.3: a request without either field has no body. */
function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

/** Somebody else is reading the stream at this moment. */
function untilCaptured(request: IncomingMessage, capture: BodyCapture): Promise<RequestBody> {
  return new Promise((resolve) => {
    const settle = (): void => {
      request.off('close', settle)
      capture.body ??= { kind: 'incomplete' }
      resolve(capture.body)
    }
    if (request.destroyed) return settle()
    const others = capture.whenEnded
    capture.whenEnded = () => {
      others?.()
      settle()
    }
    request.once('close', settle)
  })
}

function readAhead(request: IncomingMessage, bytesMax: number): Promise<RequestBody> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (body: RequestBody): void => {
      request.off('readable', read).off('end', read).off('close', closed)
      const capturable = request as Capturable
      capturable[captureKey] ??= { body, late: false, bytesMax, push: request.push, chunks, bytes, whenEnded: undefined }
      capturable[captureKey].body = body
      resolve(body)
    }
    /** Before the stream has told of its end, which it does in a later turn: it then has something to read again. */
    const putBack = (): Uint8Array => {
      const whole = joined(chunks)
      if (whole.length > 0) request.unshift(whole)
      return whole
    }
    const read = (): void => {
      let chunk: Buffer | null = null
      while (bytes <= bytesMax) {
        chunk = request.read() as Buffer | null
        if (chunk === null) break
        chunks.push(chunk)
        bytes += chunk.length
      }
      if (bytes > bytesMax) {
        putBack()
        settle({ kind: 'too-large', bytesMax })
      } else if (request.complete) settle({ kind: 'bytes', bytes: putBack() })
    }
    const closed = (): void => settle({ kind: 'incomplete' })
    if (request.destroyed) return closed()
    // A body of no bytes is never readable: it only ends.
    request.on('readable', read).once('end', read).once('close', closed)
  })
}

function joined(chunks: readonly Buffer[]): Uint8Array {
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}
