import type { Dispatcher } from 'undici'
import type { Idempotency } from '../../client/index.ts'
import type { Answered } from './send-attempt.ts'

/** The side of the caller, whose handler sees one request, however many attempts there are. */
export class Delivery implements Dispatcher.DispatchController {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #abort: AbortController = new AbortController()
  #continue: (() => void) | undefined
  #paused = false
  rawHeaders: NonNullable<Dispatcher.DispatchController['rawHeaders']> | null = null

  constructor(handler: Dispatcher.DispatchHandler) {
    this.#handler = handler
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get aborted(): boolean {
    return this.signal.aborted
  }

  get reason(): Error | null {
    return this.aborted ? this.signal.reason : null
  }

  get paused(): boolean {
    return this.#paused
  }

  abort(reason: Error): void {
    this.#abort.abort(reason)
    this.resume()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#continue?.()
  }

  /** Begins the request for the handler, and hands it what `send` answers, at the pace that it sets. */
  async run(send: () => Promise<Answered & { readonly idempotency: Idempotency }>): Promise<void> {
    const context: { idempotency?: Idempotency } = {}
    try {
      this.#handler.onRequestStart?.(this, context)
      const { response, headers, rawHeaders, statusMessage, trailers, idempotency } = await send()
      context.idempotency = idempotency
      this.rawHeaders = rawHeaders ?? null
      this.#handler.onResponseStart?.(this, response.status, headers, statusMessage)
      for await (const chunk of response.body ?? []) {
        await this.#turn()
        this.#handler.onResponseData?.(this, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      }
      await this.#turn()
      this.#handler.onResponseEnd?.(this, trailers)
    } catch (error) {
      this.#handler.onResponseError?.(this, error as Error)
    }
  }

  /** Waits while the handler pauses; an abort ends the wait. */
  async #turn(): Promise<void> {
    while (this.#paused) {
      await new Promise<void>((go) => {
        this.#continue = go
      })
    }
    this.signal.throwIfAborted()
  }
}
