import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, createServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createOncely } from 'oncely'
import { handle } from 'oncely/adapter/node'
import { reply } from 'oncely/http'
import { memoryStore } from 'oncely/store/memory'
import { expect, test } from 'vitest'

test.each([
  ['with its length', { 'content-length': '7' }],
  ['without its length', {}],
])('an HTTP/2 request with a body %s is refused, and runs nothing', async (_, length) => {
  const oncely = createOncely({ namespace: 'http2', store: memoryStore() })
  const pay = oncely.operation('pay', { policy: ['standard', { survives: 'nothing' }], bind: 'lease' })
  let executions = 0
  const route = handle(pay, { principal: () => 'acme' }, () => {
    executions++
    return reply(201, {})
  })
  const errors: unknown[] = []
  const server = createServer((request: Http2ServerRequest, response: Http2ServerResponse) =>
    route(request as unknown as IncomingMessage, response as unknown as ServerResponse, (error) => {
      errors.push(error)
      response.writeHead(500).end()
    }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/payments',
      'idempotency-key': '"k"',
      'content-type': 'application/json',
      ...length,
    })
    stream.end('{"a":1}')
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(500)
    expect(errors).toEqual([expect.objectContaining({ code: 'ONCELY_BODY_NOT_CAPTURED', message: expect.stringContaining('HTTP/2') })])
    expect(executions).toBe(0)
  } finally {
    session.destroy()
    server.close()
  }
})
