import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MULTIPART_HEADER_BYTES_MAX, MULTIPART_PARTS_MAX, readMultipart } from '../../src/core/multipart.ts'

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0))
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes)
/** Its parts with text for content, or the reason with its offset. */
function read(body: string, boundary = 'b'): unknown {
  const result = readMultipart(latin1(body), boundary)
  return result.ok
    ? result.parts.map(({ headers, content }) => [Object.fromEntries(headers), text(content)])
    : `${result.reason} at ${result.offset}`
}

describe('a multipart body', () => {
  test('has its parts in order, headers by lower-case name, without boundary, preamble and epilogue', () => {
    const body =
      'preamble --b\r\n--b \t\r\nContent-Disposition: \t form-data; name="a" \r\nCONTENT-TYPE:text/plain\r\n\r\nvalue\r\n' +
      '--b\r\n\r\n\r\nno headers, \r\n-- a line end\r\n--b\r\nx-empty:\r\n\r\n--b\r\n\r\n--b--\r\nepilogue --b'
    expect(read(body)).toEqual([
      [{ 'content-disposition': 'form-data; name="a"', 'content-type': 'text/plain' }, 'value'],
      [{}, '\r\nno headers, \r\n-- a line end'],
      [{ 'x-empty': '' }, ''],
      [{}, ''],
    ])
  })

  test('may have a boundary of 70 characters', () => {
    const boundary = 'b'.repeat(70)
    expect(read(`--${boundary}\r\n\r\nx\r\n--${boundary}--`, boundary)).toEqual([[{}, 'x']])
  })

  test('may have no part at all', () => {
    expect(read('--b--')).toEqual([])
    expect(read('preamble\r\n--b--')).toEqual([])
  })

  test('is read as the platform writes it, whatever the file holds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.string(), fc.uint8Array()), { minLength: 1, maxLength: 4 }), async (files) => {
        const form = new FormData()
        for (const [name, content] of files) form.append(name, new Blob([content], { type: 'image/png' }), 'f.png')
        const response = new Response(form)
        const boundary = /boundary=(.*)$/.exec(response.headers.get('content-type') ?? '')?.[1] ?? ''
        const result = readMultipart(new Uint8Array(await response.arrayBuffer()), boundary)
        if (!result.ok) throw new Error(result.reason)
        expect(result.parts.map(({ content }) => new Uint8Array(content))).toEqual(files.map(([, content]) => content))
        for (const { headers } of result.parts) expect(headers).toContainEqual(['content-type', 'image/png'])
      }),
    )
  })
})

describe('a malformed multipart body is refused', () => {
  test.each([
    ['', 'multipart-syntax at 0'],
    ['no delimiter', 'multipart-syntax at 12'],
    ['--b', 'multipart-syntax at 3'],
    ['--bb\r\n\r\n\r\n--bb--', 'multipart-syntax at 3'],
    ['--b\n\nx\n--b--', 'multipart-syntax at 3'],
    ['--b-\r\n\r\nx\r\n--b--', 'multipart-syntax at 3'],
    ['--bx-', 'multipart-syntax at 3'],
    ['--b\r\n a: b\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
    ['--b\r\n\r\nx', 'multipart-syntax at 8'],
    ['--b\r\n\r\nx\r\n--b', 'multipart-syntax at 13'],
    ['--b\r\nname: x', 'multipart-syntax at 5'],
    ['--b\r\nno colon\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
    ['--b\r\n: no name\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
    ['--b\r\na: b\r\n folded\r\n\r\nx\r\n--b--', 'multipart-syntax at 11'],
    ['--b\r\na : b\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
    ['--b\r\na: b\nc\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
    ['--b\r\na: b\rc\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
    ['--b\r\na: b\u0000\r\n\r\nx\r\n--b--', 'multipart-syntax at 5'],
  ])('%j', (body, refusal) => {
    expect(read(body)).toBe(refusal)
  })

  test.each(['', 'a'.repeat(71), 'ends with ', 'semi;colon', 'é', 'a\r\nb'])('with the boundary %j', (boundary) => {
    expect(read(`--${boundary}--`, boundary)).toBe('multipart-boundary at 0')
  })

  test('beyond its limits', () => {
    const parts = (count: number) => `${'--b\r\n\r\nx\r\n'.repeat(count)}--b--`
    expect(read(parts(MULTIPART_PARTS_MAX))).toHaveLength(MULTIPART_PARTS_MAX)
    expect(read(parts(MULTIPART_PARTS_MAX + 1))).toMatch(/^multipart-limit/)
    const headers = (byteCount: number) => `--b\r\na:${'x'.repeat(byteCount - 2)}\r\n\r\n\r\n--b--`
    expect(read(headers(MULTIPART_HEADER_BYTES_MAX - 2))).toHaveLength(1)
    expect(read(headers(MULTIPART_HEADER_BYTES_MAX + 1))).toBe('multipart-limit at 5')
  })
})
