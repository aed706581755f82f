import { memoryStore } from 'oncely/store/memory'
import { httpSuite, ManualClock, type Skips } from 'oncely/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Gateway } from '../../src/gateway/gateway.ts'
import { gatewayInstance, listening, serveGateway } from './suite-gateway.ts'

const begun = 'a gateway has begun before the service sees a byte, so nothing is ever taken over from a service that runs'
const service = 'what the service does to its own response object is not seen on the wire'
const observe = 'a gateway protects or is optional; the phase observe is of the library'

const headerOnly = 'a gateway streams what carries no key, so it looks for one in the header only'

const skip: Skips = {
  'R64: observe changes no answer and tells what it would have done': observe,
  'R64: observe leaves a guarded response alone': observe,
  'R16: an anonymous route says so, and is nobody named so': 'a gateway has one form of principal for every request',
  'R18: a route may refuse a replay by what is recorded': "the service's own checks are not run again on a replay",
  'R41: what is refused before the claim is not stored and uses no key up':
    'input is validated by the service, after the claim; authentication in front of the gateway is a case of R18',
  'R28: an owner that died before effects could start is taken over after its lease, one that began is not': begun,
  'R30: an owner that wakes after a takeover changes nothing, and answers with what stands': begun,
  'R30: a guarded owner that was taken over sends what stands instead of its own answer': begun,
  'R34: whatever a handler does to answer, the replay is the same': `${service}: one way is refused by Node's own; the others are tried below`,
  'R34: for the handler its response behaves as if nothing were held back': service,
  'R28: a handler that falls silent when its client is gone is given up, and its record is uncertain':
    'there is no abandonAfterMs: --headers-timeout-ms bounds a silent service, whether its client is there or not',
  'R28: a response that its handler destroys leaves doubt at once':
    'the client of a gateway is told: an answer that breaks off is 502 and uncertain, not a connection that breaks off too',
  'R46: a store that survives less than the policy needs is refused, and nothing runs': 'a gateway does not even listen; tried below',
  'R63: a key in a declared field of the body counts as one in the header does': headerOnly,
  'R63: a field that holds no key is refused as a header would be, and a key in both places must be one': headerOnly,
  'R63: where the payload stands in for a key, an identical one within the window is a duplicate': headerOnly,
  'R56: a key that is forgotten is new again, and its trail says why':
    'whoever forgets is another process, and the nearest tier of the gateway may answer for up to a minute more',
}

const openMemory = async () => {
  const clock = new ManualClock()
  const store = memoryStore({ clock })
  return { store, advance: (ms: number) => clock.advance(ms), close: () => store.close() }
}

describe('a service behind the gateway', () => {
  httpSuite<never>({ test, bind: 'lease', open: openMemory, serve: serveGateway, skip })
})

type Answer = Parameters<typeof listening>[0]

const ways: readonly (readonly [what: string, status: number, body: string, answer: Answer])[] = [
  ['204', 204, '', (_, response) => void response.writeHead(204).end()],
  ['304 with a body that is none', 304, '', (_, response) => void response.writeHead(304, { etag: '"v1"' }).end('ignored')],
  ['an early hint first', 200, 'x', (_, response) => response.writeEarlyHints({ link: '</a>; rel=preload' }, () => response.end('x'))],
  [
    'pieces',
    200,
    'one two',
    (_, response) => {
      response.write('one ', () => response.end('two'))
    },
  ],
  ['lines of one name', 201, 'x', (_, response) => void response.writeHead(201, ['link', '</a>', 'link', '</b>']).end('x')],
]

test.each(ways)('an answer of %s is replayed as it was', async (_, status, body, answer) => {
  const { store } = await openMemory()
  const upstream = await listening(answer)
  const gateway = new Gateway({
    oncely: gatewayInstance({ namespace: 'ways', store }),
    upstream: `http://127.0.0.1:${upstream.port}`,
    principal: 'anonymous',
    policy: ['standard', { survives: 'nothing' }],
  })
  onTestFinished(async () => {
    await gateway.drain()
    await upstream.close()
  })
  const { port } = await gateway.listen(0, '127.0.0.1')
  const send = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: { 'idempotency-key': 'key-1' }, body: '{}' })
    const { headers } = response
    return { status: response.status, body: await response.text(), link: headers.get('link'), replayed: headers.get('idempotent-replayed') }
  }
  const first = await send()
  expect(first).toMatchObject({ status, body, replayed: null })
  expect(await send()).toEqual({ ...first, replayed: 'true' })
})

test('R46: a gateway does not listen over a store that survives less than its policy needs', async () => {
  const { store } = await openMemory()
  const gateway = new Gateway({
    oncely: gatewayInstance({ namespace: 'weak', store }),
    upstream: 'http://127.0.0.1:9',
    principal: 'anonymous',
    policy: 'standard',
  })
  onTestFinished(() => gateway.drain())
  await expect(gateway.listen(0, '127.0.0.1')).rejects.toMatchObject({ code: 'ONCELY_STORE_TOO_WEAK' })
})
