import { corsAllowHeaders, corsExposeHeaders, corsHeaders, isHttpResponse, reject, reply } from 'oncely/http'
import { describe, expect, test } from 'vitest'
import { isRejection } from '../../src/core/index.ts'

const text = (body: Uint8Array) => new TextDecoder().decode(body)
const typeOf = (body: unknown) => Object.fromEntries(reply(200, body).headers)['content-type']

describe('reply', () => {
  test('sends text, bytes, nothing and data as what they are', () => {
    expect([typeOf('a'), text(reply(200, 'ü').body)]).toEqual(['text/plain; charset=utf-8', 'ü'])
    expect([typeOf(new Uint8Array([1])), reply(200, new Uint8Array([1])).body]).toEqual(['application/octet-stream', new Uint8Array([1])])
    expect(reply(202)).toEqual({ status: 202, headers: [], body: new Uint8Array(0) })
    for (const [body, json] of [
      [{ a: 1 }, '{"a":1}'],
      [null, 'null'],
      [0, '0'],
      [false, 'false'],
      [[], '[]'],
      [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ] as const) {
      expect([typeOf(body), text(reply(200, body).body)]).toEqual(['application/json; charset=utf-8', json])
    }
  })

  test('leaves out the body of a status that has none', () => {
    for (const status of [204, 304]) expect(reply(status, { a: 1 })).toEqual({ status, headers: [], body: new Uint8Array(0) })
  })

  test('takes headers by any case, one line for each element, and a content type of one’s own', () => {
    const { headers } = reply(
      200,
      {},
      { 'Content-Type': 'application/hal+json', Link: ['</a>', '</b>'], 'x-number': 7, 'x-none': undefined },
    )
    expect(headers).toEqual([
      ['content-type', 'application/hal+json'],
      ['link', '</a>'],
      ['link', '</b>'],
      ['x-number', '7'],
    ])
  })

  test('refuses what could not be sent, before it is stored', () => {
    for (const status of [0, 100, 199, 600, 200.5, Number.NaN]) expect(() => reply(status)).toThrow(RangeError)
    expect(() => reply(200, 'a', { 'bad name': 'x' })).toThrow(/not a header name/)
    for (const value of ['line\nbreak', 'nul\0', 'snow ☃'])
      expect(() => reply(200, 'a', { location: value })).toThrow(/no header can carry/)
    for (const body of [() => {}, Symbol('a')])
      expect(() => reply(200, body)).toThrow(expect.objectContaining({ code: 'ONCELY_VALUE_NOT_STORABLE' }))
  })
})

test('reject makes something to throw that carries the reply', () => {
  const rejection = reject(402, { code: 'declined' }, { 'x-own': '1' })
  expect(isRejection(rejection)).toBe(true)
  expect(rejection.value).toEqual(reply(402, { code: 'declined' }, { 'x-own': '1' }))
})

test('a response is told from other values by its three parts', () => {
  expect(isHttpResponse(reply(200))).toBe(true)
  for (const value of [
    null,
    undefined,
    1,
    {},
    { status: 200 },
    { status: 200, headers: [] },
    { status: '200', headers: [], body: new Uint8Array(0) },
    { status: 200, headers: {}, body: new Uint8Array(0) },
  ]) {
    expect(isHttpResponse(value)).toBe(false)
  }
})

test('the headers for browsers of other origins are listed, alone and with those of the application', () => {
  expect([corsAllowHeaders, corsExposeHeaders]).toEqual([
    ['Idempotency-Key'],
    ['Idempotent-Replayed', 'Idempotency-Status', 'Idempotency-Settled', 'Retry-After'],
  ])
  expect(corsHeaders()).toEqual({
    'Access-Control-Allow-Headers': 'Idempotency-Key',
    'Access-Control-Expose-Headers': 'Idempotent-Replayed, Idempotency-Status, Idempotency-Settled, Retry-After',
  })
  expect(corsHeaders({ allow: ['Content-Type'], expose: ['Location'] })).toMatchObject({
    'Access-Control-Allow-Headers': 'Idempotency-Key, Content-Type',
    'Access-Control-Expose-Headers': expect.stringMatching(/, Location$/),
  })
})
