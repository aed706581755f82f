/** Says that an attempt is over. Few handlers listen, and a signal costs more than the rest of a context: it is made on demand. */
export class AttemptEnd {
  #controller: AbortController | undefined
  #reason: Error | undefined

  /** Aborted when the attempt is over, at once if it already is. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** The first reason stands. */
  tell(reason: Error): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }
}
