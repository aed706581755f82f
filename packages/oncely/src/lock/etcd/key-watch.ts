import type { Clock } from '../../core/index.ts'
import type { EtcdClient } from '../../etcd/index.ts'

const againMs = 200

/**
 * One watch of all locks of a provider, for as long as somebody listens. It only says when to look: at the start of each stream
 * everybody looks, so that nothing that happened without one is missed for long.
 */
export class KeyWatch {
  readonly #client: EtcdClient
  readonly #clock: Clock
  readonly #prefix: string
  readonly #listeners = new Map<string, Set<() => void>>()
  #hangUp: (() => void) | undefined

  constructor(client: EtcdClient, clock: Clock, prefix: string) {
    this.#client = client
    this.#clock = clock
    this.#prefix = prefix
  }

  /** Calls `look` when the key may have changed; the returned function ends that. */
  listen(key: string, look: () => void): () => void {
    const listening = this.#listeners.get(key) ?? new Set()
    this.#listeners.set(key, listening.add(look))
    if (this.#hangUp === undefined) this.#begin()
    return () => {
      listening.delete(look)
      if (listening.size === 0 && this.#listeners.get(key) === listening) this.#listeners.delete(key)
      if (this.#listeners.size > 0) return
      this.#hangUp?.()
      this.#hangUp = undefined
    }
  }

  #begin(): void {
    this.#hangUp = this.#client.watch(this.#prefix, {
      begin: () => this.#wake([...this.#listeners.keys()]),
      change: (keys) => this.#wake(keys),
      end: () => {
        this.#hangUp = this.#clock.after(againMs, () => this.#begin(), 'background')
      },
    })
  }

  #wake(keys: readonly string[]): void {
    for (const key of keys) for (const look of [...(this.#listeners.get(key) ?? [])]) look()
  }
}
