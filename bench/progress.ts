import { clearLine, cursorTo } from 'node:readline'

/** Says on stderr what is being done: one line that changes on a terminal, one line a benchmark elsewhere. */
export class Progress {
  readonly #stream: NodeJS.WriteStream
  readonly #startedMs = performance.now()

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
  }

  begin(name: string): void {
    if (this.#stream.isTTY) this.step(name, 'starting')
    else this.#stream.write(`${this.#clock()} ${name}\n`)
  }

  step(name: string, text: string): void {
    if (!this.#stream.isTTY) return
    this.#wipe()
    this.#stream.write(`${this.#clock()} ${name}: ${text}`.slice(0, this.#stream.columns - 1))
  }

  end(): void {
    if (this.#stream.isTTY) this.#wipe()
  }

  #wipe(): void {
    cursorTo(this.#stream, 0)
    clearLine(this.#stream, 0)
  }

  #clock(): string {
    return `${String(Math.round((performance.now() - this.#startedMs) / 1000)).padStart(4)} s`
  }
}
