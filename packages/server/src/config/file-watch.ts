import { statSync } from 'node:fs'

const everyMs = 500

/**
 * Notices that files have changed, by looking: editors replace files and mounts swap links, which notifications miss. SIGHUP asks for
 * the same by hand. One reading runs at a time; what comes meanwhile is one more reading after it.
 */
export class FileWatch {
  #files: readonly string[] = []
  #seen = ''
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #again = false
  #reload: () => Promise<void> = async () => {}
  readonly #onSignal = (): void => this.#ask()

  /** Reads what is watched. The state of the files before it counts, so that a change while it reads is seen as one. */
  reading<Value>(read: () => Value, filesOf: (value: Value) => readonly string[]): Value {
    this.#seen = versions(this.#files)
    const value = read()
    const files = filesOf(value)
    if (files.join('\n') !== this.#files.join('\n')) {
      this.#files = files
      this.#seen = versions(files)
    }
    return value
  }

  start(reload: () => Promise<void>, polls: boolean): void {
    this.#reload = reload
    process.on('SIGHUP', this.#onSignal)
    if (polls && this.#files.length > 0) this.#timer = setInterval(() => this.#look(), everyMs).unref()
  }

  /** Waits for a reading that runs. */
  async stop(): Promise<void> {
    process.off('SIGHUP', this.#onSignal)
    clearInterval(this.#timer)
    this.#again = false
    await this.#running
  }

  #look(): void {
    if (this.#running === undefined && versions(this.#files) !== this.#seen) this.#ask()
  }

  #ask(): void {
    if (this.#running !== undefined) {
      this.#again = true
      return
    }
    this.#running = this.#reload().finally(() => {
      this.#running = undefined
      if (!this.#again) return
      this.#again = false
      this.#ask()
    })
  }
}

function versions(files: readonly string[]): string {
  return files
    .map((file) => {
      const found = statSync(file, { throwIfNoEntry: false, bigint: true })
      return found === undefined ? 'missing' : `${found.ino} ${found.size} ${found.mtimeNs}`
    })
    .join('\n')
}
