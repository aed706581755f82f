import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'

/** The answer to one attempt: as the client reads it, and as undici gave it. */
export interface Answered {
  readonly response: Response
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: Dispatcher.DispatchController['rawHeaders']
  readonly statusMessage: string | undefined
  /** Filled when the body has ended. */
  readonly trailers: IncomingHttpHeaders
}

/** Statuses whose answers have no body, and for which a `Response` takes none. */
const bodiless: readonly number[] = [204, 205, 304]

/** Sends once; answers as soon as the headers are here, and lets the body follow at the reader's pace. */
export function sendAttempt(dispatch: Dispatcher.Dispatch, request: Dispatcher.DispatchOptions, signal: AbortSignal): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const trailers: IncomingHttpHeaders = {}
    let abort = (): void => {}
    let body: ReadableStreamDefaultController<Uint8Array> | undefined
    const fail = (error: Error): void => {
      signal.removeEventListener('abort', abort)
      body?.error(error)
      reject(error)
    }
    dispatch(request, {
      onRequestStart: (controller) => {
        abort = () => controller.abort(signal.reason)
        if (signal.aborted) return abort()
        signal.addEventListener('abort', abort)
      },
      onResponseStart: (controller, status, headers, statusMessage) => {
        if (status < 200) return
        const stream = new ReadableStream<Uint8Array>({
          start: (opened) => {
            body = opened
          },
          pull: () => {
            if (controller.paused) controller.resume()
          },
          cancel: () => controller.abort(new Error('Nobody reads this answer.')),
        })
        const response = new Response(bodiless.includes(status) ? null : stream, { status, headers: linesOf(headers) })
        resolve({ response, headers, rawHeaders: controller.rawHeaders, statusMessage, trailers })
      },
      onResponseData: (controller, chunk) => {
        // A parser that goes on after a pause may say nothing first; pausing for that would never end.
        if (chunk.length === 0) return
        // Undici's buffers are windows on memory that it uses again.
        body?.enqueue(new Uint8Array(chunk))
        if ((body?.desiredSize ?? 1) <= 0) controller.pause()
      },
      onResponseEnd: (_controller, ended) => {
        signal.removeEventListener('abort', abort)
        Object.assign(trailers, ended)
        body?.close()
      },
      onResponseError: (_controller, error) => fail(error),
    })
  })
}

function linesOf(headers: IncomingHttpHeaders): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) => [value ?? []].flat().map((line): [string, string] => [name, line]))
}
