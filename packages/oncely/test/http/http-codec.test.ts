import fc from 'fast-check'
import { decodeNotStored, decodeResponse, encodeNotStored, encodeResponse } from 'oncely/http'
import { describe, expect, test } from 'vitest'
import { codecIds } from '../../src/core/index.ts'

const response = {
  status: 201,
  headers: [
    ['link', '</a>'],
    ['link', '</b,c>'],
    ['x', ''],
  ] as const,
  body: new Uint8Array([0, 255, 1]),
}

describe('the frame of a response', () => {
  test('comes back line by line and byte by byte', () => {
    const line = fc.tuple(fc.stringMatching(/^[a-z-]{1,20}$/), fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,40}$/))
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 599 }),
        fc.array(line, { maxLength: 8 }),
        fc.uint8Array({ maxLength: 200 }),
        (status, headers, body) => {
          const stored = encodeResponse({ status, headers, body })
          expect(stored.codec).toBe(codecIds.http)
          expect(decodeResponse(stored.bytes)).toEqual({ status, headers, body })
        },
      ),
    )
  })

  test('is read from any place in a larger buffer', () => {
    const { bytes } = encodeResponse(response)
    const larger = new Uint8Array(bytes.length + 20)
    larger.set(bytes, 7)
    expect(decodeResponse(larger.subarray(7, 7 + bytes.length))).toEqual(response)
  })

  test('keeps this layout for as long as anything is stored in it', () => {
    const { bytes } = encodeResponse({ status: 201, headers: [['etag', '"é"']], body: new Uint8Array([7]) })
    expect(Buffer.from(bytes).toString('hex')).toBe('0100c9000100040000000365746167' + '22e922' + '0000000107')
  })

  test('is refused when any of its bytes is missing, or one too many is there', () => {
    const { bytes } = encodeResponse(response)
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeResponse(bytes.subarray(0, length)), `${length} bytes`).toThrow(
        expect.objectContaining({ code: 'ONCELY_OUTCOME_CORRUPT' }),
      )
    }
    expect(() => decodeResponse(Uint8Array.of(...bytes, 0))).toThrow(/another length/)
  })

  test('is refused in a version that is not known, and where a length is not true', () => {
    const { bytes } = encodeResponse(response)
    expect(() => decodeResponse(Uint8Array.of(2, ...bytes.subarray(1)))).toThrow(/its version is 2/)
    const lying = bytes.slice()
    lying[7] = 0xff
    expect(() => decodeResponse(lying)).toThrow(/ends inside its headers/)
  })
})

test('a header that could never be sent is not stored', () => {
  const unsendable = { status: 200, headers: [['location', '/snow-☃']] as const, body: new Uint8Array(0) }
  expect(() => encodeResponse(unsendable)).toThrow(expect.objectContaining({ code: 'ONCELY_VALUE_NOT_STORABLE' }))
})

describe('the fact that a response was not stored', () => {
  test('keeps its status and where it pointed', () => {
    const stored = encodeNotStored('oversize', {
      status: 201,
      headers: [
        ['location', '/payments/1'],
        ['set-cookie', 'secret'],
      ],
    })
    expect(stored.codec).toBe(codecIds.httpNotStored)
    expect(decodeNotStored(stored)).toEqual({ reason: 'oversize', status: 201, resource: '/payments/1' })
    expect(decodeNotStored(encodeNotStored('stream', { status: 200, headers: [] }))).toEqual({
      reason: 'stream',
      status: 200,
      resource: undefined,
    })
  })

  test('is read as a bare reason too', () => {
    const stored = { codec: codecIds.notStored, bytes: new TextEncoder().encode('no-store') }
    expect(decodeNotStored(stored)).toEqual({ reason: 'no-store', status: 0, resource: undefined })
  })
})
