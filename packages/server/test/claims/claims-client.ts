import { randomUUID } from 'node:crypto'
import type { OncelyOptions } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { onTestFinished } from 'vitest'
import { ClaimsServer, type ClaimsServerOptions } from '../../src/claims/claims-server.ts'
import { gatewayInstance } from '../gateway/suite-gateway.ts'

export interface ClaimsAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects.
  readonly body: any
}

/** A claims API in this process, and how to call it. */
export async function claimsApi(
  options: Partial<ClaimsServerOptions> = {},
  instance: Partial<OncelyOptions> = {},
): Promise<{
  url: string
  server: ClaimsServer
  send: (step: string, body: unknown, headers?: Record<string, string>) => Promise<ClaimsAnswer>
}> {
  const oncely = gatewayInstance({ namespace: 'test', store: memoryStore(), ...instance })
  const server = new ClaimsServer({
    oncely,
    principal: 'header:x-service',
    policy: ['standard', { survives: 'nothing' }],
    rate: 100_000,
    burst: 100_000,
    ...options,
  })
  const { port } = await server.listen(0, '127.0.0.1')
  onTestFinished(() => server.drain())
  const url = `http://127.0.0.1:${port}`
  const send = async (step: string, body: unknown, headers: Record<string, string> = {}): Promise<ClaimsAnswer> => {
    const path = step === 'claim' ? '/v1/claims' : `/v1/claims/${step}`
    const init = { method: 'POST', headers: { 'content-type': 'application/json', 'x-service': 'orders', ...headers } }
    const answer = await fetch(url + path, { ...init, body: typeof body === 'string' ? body : JSON.stringify(body) })
    return { status: answer.status, headers: answer.headers, body: await answer.json() }
  }
  return { url, server, send }
}

export function claimOf(change: object = {}): { key: string; operation: string; attemptId: string; payload: unknown } {
  return { key: 'key-1', operation: 'create-payment', attemptId: randomUUID(), payload: { amount: 1 }, ...change }
}
