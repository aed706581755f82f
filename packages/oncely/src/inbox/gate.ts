/**
 * Lets messages run side by side, and one that may have killed a process run alone: then a crash says which message it was.
 *
 *   open ──share──▶ shared (n) ──last leaves──▶ open
 *    └─────────alone waits, nobody new enters─▶ alone ──leaves──▶ open
 */
export class Gate {
  #sharing = 0
  #alone = false
  readonly #waiting: { readonly alone: boolean; readonly enter: () => void }[] = []

  async share<R>(run: () => Promise<R>): Promise<R> {
    await this.#enter(false)
    try {
      return await run()
    } finally {
      this.#sharing--
      this.#admit()
    }
  }

  async alone<R>(run: () => Promise<R>): Promise<R> {
    await this.#enter(true)
    try {
      return await run()
    } finally {
      this.#alone = false
      this.#admit()
    }
  }

  #enter(alone: boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ alone, enter: resolve })
      this.#admit()
    })
  }

  /** In the order of arrival, so that nobody waits for ever. */
  #admit(): void {
    for (;;) {
      const [next] = this.#waiting
      if (next === undefined || this.#alone || (next.alone && this.#sharing > 0)) return
      this.#waiting.shift()
      if (next.alone) this.#alone = true
      else this.#sharing++
      next.enter()
    }
  }
}
