import type { ServerResponse } from 'node:http'

/** What stands in for a response's own methods and getters while it is captured. */
export interface Replacements {
  write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean
  end(chunk?: unknown, encoding?: unknown, callback?: unknown): ServerResponse
  destroy(error?: Error): ServerResponse
  writeHead(status: number, ...rest: unknown[]): ServerResponse
  flushHeaders(): void
  headersSent(): boolean
  writableEnded(): boolean
}

type Write = (chunk: unknown, encoding?: unknown, callback?: unknown) => boolean
type End = (chunk?: unknown) => ServerResponse

/**
 * Properties of one response, replaced for a while and put back as they were: its own where middleware outside had replaced
 * them before, else its class's. What middleware inside replaced meanwhile goes with them, as it would call back into a capture
 * that is over.
 */
export class ResponseOverride {
  /** The methods as they were, middleware outside included. */
  readonly original: { readonly write: Write; readonly end: End }
  readonly #response: ServerResponse
  readonly #before = new Map<string, PropertyDescriptor | undefined>()

  constructor(response: ServerResponse) {
    this.#response = response
    this.original = { write: response.write as Write, end: response.end as End }
  }

  install(replacements: Replacements): void {
    const { headersSent, writableEnded, ...methods } = replacements
    for (const [name, value] of Object.entries(methods)) this.#replace(name, { value, writable: true })
    this.#replace('headersSent', { get: headersSent })
    this.#replace('writableEnded', { get: writableEnded })
  }

  /** Makes the methods that change the head throw what they throw when it is on the wire. */
  freezeHead(sent: (what: string) => Error): void {
    for (const [name, what] of headMethods) {
      const value = (): never => {
        throw sent(what)
      }
      this.#replace(name, { value, writable: true })
    }
  }

  /** Gives the head back: the next byte sends it. */
  releaseHead(): void {
    for (const name of ['writeHead', 'flushHeaders', 'headersSent', ...headMethods.map(([method]) => method)]) this.#putBack(name)
  }

  /** Gives everything back. */
  remove(): void {
    for (const name of this.#before.keys()) this.#putBack(name)
  }

  #replace(name: string, descriptor: PropertyDescriptor): void {
    this.#before.set(name, Object.getOwnPropertyDescriptor(this.#response, name))
    Object.defineProperty(this.#response, name, { ...descriptor, configurable: true, enumerable: true })
  }

  #putBack(name: string): void {
    if (!this.#before.has(name)) return
    const descriptor = this.#before.get(name)
    this.#before.delete(name)
    if (descriptor === undefined) delete (this.#response as unknown as Record<string, unknown>)[name]
    else Object.defineProperty(this.#response, name, descriptor)
  }
}

const headMethods = [
  ['setHeader', 'set'],
  ['appendHeader', 'append'],
  ['removeHeader', 'remove'],
] as const
