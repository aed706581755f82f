import { describe, expect, test } from 'vitest'
import { checkLimits, OutboxBuffer, type OutboxDraft, outboxBuckets } from '../../src/core/index.ts'
import { nodeHasher as hasher } from '../../src/platform/index.ts'

const draft: OutboxDraft = { topic: 'payments', payload: { amount: 5 } }

function bufferOf(origin: Uint8Array | string = 'record', own: Parameters<typeof checkLimits>[0] = {}): OutboxBuffer {
  return new OutboxBuffer({ hasher, limits: checkLimits(own), supported: true, origin })
}

describe('a message', () => {
  test('has an id that a repeated attempt of the same record makes again', async () => {
    const first = bufferOf()
    const second = bufferOf()
    const ids = [await first.send(draft), await first.send(draft)]
    expect([await second.send(draft), await second.send(draft)]).toEqual(ids)
    expect(new Set(ids).size).toBe(2)
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(await bufferOf('another record').send(draft)).not.toBe(ids[0])
  })

  test('of one aggregate is in one bucket, whatever its record', () => {
    const buckets = ['a', 'b', 'c'].map((origin) => {
      const buffer = bufferOf(origin)
      buffer.send({ ...draft, aggregate: 'account 1' })
      return buffer.seal()[0]?.bucket
    })
    expect(new Set(buckets).size).toBe(1)
    expect(buckets[0]).toBeGreaterThanOrEqual(0)
    expect(buckets[0]).toBeLessThan(outboxBuckets)
  })

  test('without an aggregate is one of its own', async () => {
    const buffer = bufferOf()
    const id = await buffer.send(draft)
    expect(buffer.seal()[0]?.aggregate).toBe(id)
  })

  test('keeps its bytes as they were when it was sent', () => {
    const buffer = bufferOf()
    const payload = new Uint8Array([1, 2, 3])
    buffer.send({ topic: 'raw', payload, headers: { 'x-kind': 'raw' } })
    payload.fill(9)
    expect(buffer.seal()).toMatchObject([
      { payload: new Uint8Array([1, 2, 3]), contentType: 'application/octet-stream', headers: { 'x-kind': 'raw' } },
    ])
  })

  test('that is a value is JSON', () => {
    const buffer = bufferOf()
    buffer.send(draft)
    expect(buffer.seal()).toMatchObject([{ payload: new TextEncoder().encode('{"amount":5}'), contentType: 'application/json' }])
  })
})

describe('send refuses, in the call itself,', () => {
  test.each<[string, Partial<OutboxDraft>]>([
    ['a payload that would not come back equal', { payload: { at: new Date(0) } }],
    ['no payload', { payload: undefined }],
    ['an empty topic', { topic: '' }],
    ['a topic of 256 bytes', { topic: 'é'.repeat(128) }],
    ['an aggregate with a zero character', { aggregate: 'a\u0000b' }],
    ['an empty aggregate', { aggregate: '' }],
    ['a type that is half a surrogate pair', { type: '\ud800' }],
    ['a header name with a space', { headers: { 'x y': '1' } }],
    ['a header value with a line break', { headers: { x: 'a\r\nb: c' } }],
    ['a sink name with a slash', { sink: 'a/b' }],
    ['a content type with a line break', { contentType: 'text/plain\n' }],
  ])('%s', (_, part) => {
    expect(() => bufferOf().send({ ...draft, ...part })).toThrow(expect.objectContaining({ code: 'ONCELY_VALUE_NOT_STORABLE' }))
  })

  test('the message beyond outboxMessagesMax, and takes the one at it', () => {
    const buffer = bufferOf('record', { outboxMessagesMax: 2 })
    buffer.send(draft)
    buffer.send(draft)
    expect(() => buffer.send(draft)).toThrow(/outboxMessagesMax/)
    expect(buffer.seal()).toHaveLength(2)
  })

  test('the byte beyond outboxBytesMax, and takes the one at it', () => {
    const buffer = bufferOf('record', { outboxBytesMax: 10 })
    buffer.send({ topic: 't', payload: new Uint8Array(10) })
    expect(() => buffer.send({ topic: 't', payload: new Uint8Array(1) })).toThrow(/outboxBytesMax/)
  })

  test('a message whose attempt has ended', () => {
    const buffer = bufferOf()
    buffer.seal()
    expect(() => buffer.send(draft)).toThrow(expect.objectContaining({ code: 'ONCELY_OUTBOX_SEALED' }))
  })

  test('any message where the store keeps no outbox', () => {
    const buffer = new OutboxBuffer({ hasher, limits: checkLimits(), supported: false, origin: 'record' })
    expect(() => buffer.send(draft)).toThrow(expect.objectContaining({ code: 'ONCELY_UNSUPPORTED' }))
  })
})
