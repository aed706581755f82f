import { afterAll, beforeAll, beforeEach } from 'vitest'
import { type IdempotentFetch, type IdempotentFetchOptions, idempotentFetch } from '../../src/client/index.ts'
import { problem, type Reply, type ScriptedServer, startScriptedServer } from './scripted-server.ts'
import { type TestPlatform, testPlatform } from './test-platform.ts'

/** One server for the tests of a file, and a time that begins anew with each of them. */
export class ClientBench {
  #server: ScriptedServer | undefined
  time: TestPlatform = testPlatform()

  constructor() {
    beforeAll(async () => {
      this.#server = await startScriptedServer()
    })
    afterAll(() => this.#server?.close())
    beforeEach(() => {
      this.time = testPlatform()
    })
  }

  get server(): ScriptedServer {
    return this.#server!
  }

  client(options: IdempotentFetchOptions = {}): IdempotentFetch {
    return idempotentFetch({ fetch: this.time.fetch, platform: this.time.platform, ...options })
  }

  /** The key of each request that the server was sent. */
  keysSeen(): unknown[] {
    return this.server.seen.map(({ headers }) => headers['idempotency-key'])
  }
}

export const created: Reply = { status: 201, body: '{"id":1}' }
export const running: Reply = problem(409, { retryable: true })
export const post = { method: 'POST', body: '{"amount":1}' } as const
