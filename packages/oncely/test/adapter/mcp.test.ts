import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { anonymous, type Oncely, StoreUnavailable } from 'oncely'
import { handle, reject, type ToolCallback, type ToolProblem } from 'oncely/adapter/mcp'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { instance, policy } from './adapter-instance.ts'
import { listening } from './suite-server.ts'

const principal = () => 'account-1'
const pay = (oncely: Oncely<never> = instance()) => oncely.operation<{ amount: number }>('pay', { policy, bind: 'lease' })
const said = (text: string): CallToolResult => ({ content: [{ type: 'text', text }] })

const argumentsOf = { idempotency_key: z.string().optional(), amount: z.number() }

/** A server with one tool. */
function serverOf(tool: ToolCallback, outputSchema?: { id: z.ZodNumber }): McpServer {
  const server = new McpServer({ name: 'payments', version: '1.0.0' })
  server.registerTool('pay', { inputSchema: argumentsOf, ...(outputSchema === undefined ? {} : { outputSchema }) }, tool)
  return server
}

type Call = (args: { amount: number; idempotency_key?: string }) => Promise<CallToolResult>

/** A client of such a server, connected within this process. */
async function connected(tool: ToolCallback, outputSchema?: { id: z.ZodNumber }): Promise<Call> {
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  await serverOf(tool, outputSchema).connect(theirs)
  return clientOf(ours)
}

async function clientOf(transport: Transport): Promise<Call> {
  const client = new Client({ name: 'agent', version: '1.0.0' })
  await client.connect(transport)
  onTestFinished(() => client.close())
  await client.listTools()
  return async (args) => (await client.callTool({ name: 'pay', arguments: args })) as CallToolResult
}

function problemOf(result: CallToolResult): ToolProblem {
  expect(result.isError).toBe(true)
  const problem = result._meta?.['oncely.dev/problem'] as ToolProblem
  expect(JSON.parse((result.content[0] as { text: string }).text)).toEqual(problem)
  return problem
}

const replayed = (result: CallToolResult): unknown => result._meta?.['oncely.dev/replayed']

describe('a tool with a key among its arguments', () => {
  test('runs once for each key, and its replay says so', async () => {
    let runs = 0
    const call = await connected(
      handle(pay(), { principal, keyArgument: 'idempotency_key' }, ({ input }) => ({
        ...said(`run ${++runs}`),
        structuredContent: { input },
      })),
    )
    const first = await call({ amount: 1, idempotency_key: 'k' })
    expect(first).toEqual({ ...said('run 1'), structuredContent: { input: { amount: 1 } } })
    expect(await call({ amount: 1, idempotency_key: 'k' })).toEqual({ ...first, _meta: { 'oncely.dev/replayed': true } })
    expect(await call({ amount: 1, idempotency_key: 'other' })).toMatchObject(said('run 2'))
  })

  test('tells a model that left the key out or used it for something else what to do', async () => {
    let runs = 0
    const call = await connected(handle(pay(), { principal, keyArgument: 'idempotency_key' }, () => said(`run ${++runs}`)))
    const missing = await call({ amount: 1 })
    expect(missing.structuredContent).toEqual(problemOf(missing))
    expect(problemOf(missing)).toMatchObject({
      type: 'https://oncely.dev/problems/key-missing',
      detail: expect.stringContaining('"idempotency_key"'),
      retryable: false,
      safe_new_key: true,
    })
    expect(problemOf(await call({ amount: 1, idempotency_key: '' })).type).toMatch(/key-missing$/)
    expect(problemOf(await call({ amount: 1, idempotency_key: 'x'.repeat(300) })).type).toMatch(/key-malformed$/)
    await call({ amount: 1, idempotency_key: 'k' })
    expect(problemOf(await call({ amount: 2, idempotency_key: 'k' }))).toMatchObject({
      type: expect.stringMatching(/mismatch$/),
      retryable: false,
    })
    expect(runs).toBe(1)
  })

  test('refuses a key that is no string', async () => {
    const tool = handle(pay(), { principal, keyArgument: 'key' }, () => said('ran'))
    const result = await tool({ key: 7 }, { requestId: 1 } as never)
    expect(problemOf(result)).toMatchObject({ type: expect.stringMatching(/key-malformed$/), reason: 'not-a-string' })
  })

  test('tells a duplicate that the first call still runs', async () => {
    let finish = (): void => {}
    const running = new Promise<void>((resolve) => {
      finish = resolve
    })
    let entered = (): void => {}
    const started = new Promise<void>((resolve) => {
      entered = resolve
    })
    const call = await connected(
      handle(pay(), { principal, keyArgument: 'idempotency_key' }, async () => {
        entered()
        await running
        return said('ran')
      }),
    )
    const first = call({ amount: 1, idempotency_key: 'k' })
    await started
    const problem = problemOf(await call({ amount: 1, idempotency_key: 'k' }))
    expect(problem).toMatchObject({ retryable: true, same_key: true, safe_new_key: false, operation_state: 'running' })
    expect(problem.retry_after_ms).toBeGreaterThan(0)
    finish()
    expect(await first).toEqual(said('ran'))
  })
})

describe('what a tool answers', () => {
  test('is recorded where it is a refusal, and replayed as the error that it is', async () => {
    let runs = 0
    const call = await connected(
      handle(pay(), { principal, keyArgument: 'idempotency_key' }, () => {
        runs++
        throw reject(said('declined'))
      }),
    )
    expect(await call({ amount: 1, idempotency_key: 'k' })).toEqual({ ...said('declined'), isError: true })
    expect(await call({ amount: 1, idempotency_key: 'k' })).toMatchObject({
      ...said('declined'),
      isError: true,
      _meta: { 'oncely.dev/replayed': true },
    })
    expect(runs).toBe(1)
  })

  test('when it throws is the SDK’s, and the outcome is uncertain', async () => {
    const call = await connected(handle(pay(), { principal, keyArgument: 'idempotency_key' }, () => Promise.reject(new Error('a bug'))))
    expect(await call({ amount: 1, idempotency_key: 'k' })).toEqual({ ...said('a bug'), isError: true })
    const problem = problemOf(await call({ amount: 1, idempotency_key: 'k' }))
    expect(problem).toMatchObject({ retryable: false, safe_new_key: false, operation_state: 'uncertain' })
    expect(problem.record).toMatch(/^[0-9a-f]+$/)
  })

  test('as a problem has no structured content where the tool declares its own', async () => {
    const options = { principal, keyArgument: 'idempotency_key', outputSchema: true, problemBase: 'https://api.example.com/p/' }
    const call = await connected(
      handle(pay(), options, () => ({ content: [], structuredContent: { id: 7 } })),
      { id: z.number() },
    )
    expect((await call({ amount: 1, idempotency_key: 'k' })).structuredContent).toEqual({ id: 7 })
    const mismatch = await call({ amount: 2, idempotency_key: 'k' })
    expect([problemOf(mismatch).type, mismatch.structuredContent]).toEqual(['https://api.example.com/p/mismatch', undefined])
  })

  test('is what a function call has recorded under the same key', async () => {
    const operation = pay()
    const call = await connected(handle(operation, { principal, keyArgument: 'idempotency_key' }, () => said('ran')))
    await operation.run({ principal: 'account-1', key: 'k', input: { amount: 1 } }, () => ({ id: 7 }))
    const result = await call({ amount: 1, idempotency_key: 'k' })
    expect([result.content, replayed(result)]).toEqual([said('{"id":7}').content, true])
  })

  test('says that a repeat can help where the store is away or the process drains', async () => {
    const store = Object.assign(memoryStore(), { claim: () => Promise.reject(new StoreUnavailable('unreachable', { applied: 'no' })) })
    const call = await connected(handle(pay(instance(store)), { principal, keyArgument: 'idempotency_key' }, () => said('ran')))
    expect(problemOf(await call({ amount: 1, idempotency_key: 'k' }))).toMatchObject({
      type: expect.stringMatching(/unavailable$/),
      retryable: true,
    })
    const oncely = instance()
    const drained = await connected(handle(pay(oncely), { principal, keyArgument: 'idempotency_key' }, () => said('ran')))
    await oncely.drain()
    expect(problemOf(await drained({ amount: 1, idempotency_key: 'k' }))).toMatchObject({
      reason: 'draining',
      retryable: true,
      same_key: true,
    })
  })
})

describe('the caller of a tool', () => {
  test('is needed', async () => {
    const call = await connected(handle(pay(), { principal: () => undefined, keyArgument: 'idempotency_key' }, () => said('ran')))
    const result = await call({ amount: 1, idempotency_key: 'k' })
    expect([result.isError, (result.content[0] as { text: string }).text]).toEqual([true, expect.stringContaining('principal')])
  })

  test('shares keys with nobody, unless the tool is anonymous', async () => {
    const operation = pay()
    let account: string | typeof anonymous = 'account-1'
    let runs = 0
    const call = await connected(
      handle(operation, { principal: () => account, keyArgument: 'idempotency_key' }, () => said(`run ${++runs}`)),
    )
    await call({ amount: 1, idempotency_key: 'k' })
    account = 'account-2'
    expect(replayed(await call({ amount: 1, idempotency_key: 'k' }))).toBeUndefined()
    account = anonymous
    expect(replayed(await call({ amount: 1, idempotency_key: 'k' }))).toBeUndefined()
    expect(replayed(await call({ amount: 1, idempotency_key: 'k' }))).toBe(true)
  })

  test('may be refused a replay by its actor or by what is recorded', async () => {
    const replayPolicy = ['standard', { survives: 'nothing', replayTo: 'actor' }] as const
    const operation = instance().operation('pay', { policy: replayPolicy, bind: 'lease' })
    let actor = 'alice'
    let allowed = true
    const options = { principal, actor: () => actor, authorizeReplay: () => allowed, keyArgument: 'idempotency_key' }
    const call = await connected(handle(operation, options, () => said('ran')))
    await call({ amount: 1, idempotency_key: 'k' })
    expect(replayed(await call({ amount: 1, idempotency_key: 'k' }))).toBe(true)
    allowed = false
    expect(problemOf(await call({ amount: 1, idempotency_key: 'k' })).type).toMatch(/replay-forbidden$/)
    allowed = true
    actor = 'bob'
    expect(problemOf(await call({ amount: 1, idempotency_key: 'k' })).type).toMatch(/replay-forbidden$/)
  })
})

describe('a tool without a key among its arguments', () => {
  test('runs once for each request of a session, over HTTP', async () => {
    const keys: string[] = []
    const server = serverOf(
      handle(pay(), { principal }, ({ key }) => {
        keys.push(key)
        return said(`run ${keys.length}`)
      }),
    )
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID })
    await server.connect(transport as Transport)
    const { port, close } = await listening(createServer((request, response) => void transport.handleRequest(request, response)))
    onTestFinished(close)
    const requests: { url: string | URL; init: RequestInit }[] = []
    const client = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`), {
      fetch: (url, init) => {
        requests.push({ url, init: init as RequestInit })
        return fetch(url, init as RequestInit)
      },
    })
    const call = await clientOf(client as Transport)
    expect(await call({ amount: 1 })).toEqual(said('run 1'))
    expect(await call({ amount: 1 })).toEqual(said('run 2'))
    const { sessionId } = client
    expect(keys).toEqual([expect.stringContaining(`["${sessionId}",`), expect.stringContaining(`["${sessionId}",`)])
    const last = requests.at(-1) as (typeof requests)[number]
    const again = await (await fetch(last.url, { ...last.init, signal: null })).text()
    expect([again.includes('run 2'), again.includes('oncely.dev/replayed'), keys.length]).toEqual([true, true, 2])
  })

  test('is refused where the transport has no sessions', async () => {
    const call = await connected(handle(pay(), { principal }, () => said('ran')))
    expect(problemOf(await call({ amount: 1 }))).toMatchObject({
      type: expect.stringMatching(/key-missing$/),
      detail: expect.stringContaining('no sessions'),
    })
  })
})

test('a problem base that is no URL is refused', () => {
  expect(() => handle(pay(), { principal, problemBase: 'problems' }, () => said('ran'))).toThrow(/problemBase is "problems"/)
})
