import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { readRequestBody } from 'oncely/http'
import { describe, expect, test } from 'vitest'

const bytes = Buffer.from('{"a":1}')
const read = (body: Uint8Array, headers: readonly string[], bytesMax = 1_000) => readRequestBody(body, headers, bytesMax)
const kindOf = async (contentType: string) => {
  const answer = await read(bytes, ['Content-Type', contentType])
  return answer.ok ? answer.body : answer
}

describe('a request body', () => {
  test('counts as what its content type says', async () => {
    for (const type of [
      'application/json',
      'Application/JSON; charset=utf-8',
      'application/problem+json',
      ' application/vnd.a.b+json ;v=1',
    ])
      expect(await kindOf(type)).toMatchObject({ kind: 'json' })
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/jsonp',
      'application/octet-stream',
      '',
      'x'.repeat(200),
    ])
      expect(await kindOf(type)).toMatchObject({ kind: 'bytes' })
    expect(await read(bytes, [])).toEqual({ ok: true, body: { kind: 'bytes', bytes } })
  })

  test('of a multipart type has its boundary, in every way of writing it', async () => {
    for (const [type, boundary] of [
      ['multipart/form-data; boundary=abc', 'abc'],
      ['multipart/form-data; charset=utf-8; Boundary="a b\\"c"; x=y', 'a b"c'],
      ['multipart/mixed;boundary=abc;x=y', 'abc'],
      ['multipart/form-data', ''],
    ] as const) {
      expect(await kindOf(type)).toMatchObject({ kind: 'multipart', boundary })
    }
  })

  test('that is empty is none, whatever is said of it', async () => {
    expect(await read(new Uint8Array(0), ['content-type', 'application/json', 'content-encoding', 'gzip'])).toEqual({
      ok: true,
      body: { kind: 'none' },
    })
  })

  test('loses its content codings, in the opposite order of their making', async () => {
    const identity = { ok: true, body: { kind: 'json', bytes } }
    const coded = (body: Uint8Array, ...codings: string[]) =>
      read(body, ['content-type', 'application/json', ...codings.flatMap((coding) => ['Content-Encoding', coding])])
    expect(await coded(bytes, 'identity')).toEqual(identity)
    expect(await coded(gzipSync(bytes), 'GZIP')).toEqual(identity)
    expect(await coded(gzipSync(bytes), 'x-gzip')).toEqual(identity)
    expect(await coded(deflateSync(bytes), 'deflate')).toEqual(identity)
    expect(await coded(brotliCompressSync(gzipSync(bytes)), 'gzip, br')).toEqual(identity)
    expect(await coded(brotliCompressSync(gzipSync(bytes)), 'gzip', 'br')).toEqual(identity)
    expect(await coded(bytes, 'zstd-9')).toEqual({ ok: false, reason: 'unsupported-coding' })
    expect(await coded(gzipSync(bytes), 'gzip, gzip, gzip, gzip')).toEqual({ ok: false, reason: 'unsupported-coding' })
    expect(await coded(gzipSync(bytes).subarray(0, 12), 'gzip')).toEqual({ ok: false, reason: 'malformed-coding' })
    expect(await coded(bytes, 'br')).toEqual({ ok: false, reason: 'malformed-coding' })
  })

  test('is bounded before and after decoding', async () => {
    expect(await read(bytes, [], bytes.length)).toMatchObject({ ok: true })
    expect(await read(bytes, [], bytes.length - 1)).toEqual({ ok: false, reason: 'too-large' })
    const bomb = gzipSync(Buffer.alloc(10_000))
    expect(await read(bomb, ['content-encoding', 'gzip'], 9_999)).toEqual({ ok: false, reason: 'too-large' })
    expect(await read(bomb, ['content-encoding', 'gzip'], 10_000)).toMatchObject({ ok: true })
    expect(await read(bytes, [], 0)).toEqual({ ok: false, reason: 'too-large' })
  })

  test('is read the same after more content types than are remembered', async () => {
    for (let nth = 0; nth < 250; nth++) expect(await kindOf(`application/x-${nth}+json`)).toMatchObject({ kind: 'json' })
    expect(await kindOf('text/plain')).toMatchObject({ kind: 'bytes' })
  })
})
