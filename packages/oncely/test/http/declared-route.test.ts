import { createOncely, type OperationOptions } from 'oncely'
import { handle } from 'oncely/adapter/fetch'
import { GuardRoute, type HttpResponse, reply } from 'oncely/http'
import { memoryStore } from 'oncely/store/memory'
import { expect, test } from 'vitest'

/** A route over Fetch whose handler answers once with a card's number, with what the operation declares. */
function cardRoute(own: Partial<OperationOptions<unknown, unknown, 'lease'>>) {
  const oncely = createOncely({
    namespace: 'n',
    store: memoryStore(),
    secrets: [{ id: 1, key: new Uint8Array(32) }],
    limits: { recentOutcomesMax: 0 },
  })
  const operation = oncely.operation('card', { bind: 'lease', policy: ['standard', { survives: 'nothing' }], ...own })
  let ran = 0
  const route = handle(operation, { principal: () => 'acme' }, async () => reply(201, { number: '4242', ran: ++ran }))
  const post = async (key: string, body = '{"a":1}') => {
    const headers = { 'idempotency-key': key, 'content-type': 'application/json' }
    const response = await route(new Request('http://shop.test/cards', { method: 'POST', headers, body }))
    return [response.status, response.headers.get('idempotent-replayed'), await response.json()]
  }
  return { operation, post, oncely }
}

const blackened = (response: unknown): HttpResponse => ({
  ...(response as HttpResponse),
  body: new TextEncoder().encode(JSON.stringify({ number: '****' })),
})

test('a redacted response is whole for the first caller and redacted for every other', async () => {
  const { post } = cardRoute({ redact: blackened, encrypt: true })
  expect(await post('key-1')).toEqual([201, null, { number: '4242', ran: 1 }])
  expect(await post('key-1')).toEqual([201, 'true', { number: '****' }])
})

test('a response of the table that is taken over from is replayed, marked as such', async () => {
  const old = reply(201, { number: 'old' })
  const { post } = cardRoute({ adopt: { find: async ({ key }) => (key === 'key-1' ? { state: 'completed', value: old } : undefined) } })
  expect(await post('key-1')).toEqual([201, 'true', { number: 'old' }])
  expect(await post('key-2')).toEqual([201, null, { number: '4242', ran: 1 }])
  expect((await post('key-1', '{"a":2}'))[0]).toBe(422)
})

test('a guarded handler has no response to change before it is sent, so both are refused', () => {
  const { operation } = cardRoute({ redact: blackened })
  expect(() => new GuardRoute(operation, {})).toThrow(/has redact.*Use handle\(\)/)
  const taken = cardRoute({ adopt: { find: async () => undefined } })
  expect(() => new GuardRoute(taken.operation, {})).toThrow(/has adopt.*Use handle\(\)/)
})
