import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../src/core/canonical-json.ts'
import { ConfigurationError } from '../../src/core/errors.ts'

/** The canonical text without these parts, or the reason with its offset. */
function without(exclude: readonly string[], text: string): string {
  const result = canonicalJson(new TextEncoder().encode(text), { exclude })
  return result.ok ? new TextDecoder().decode(result.bytes) : `${result.reason} at ${result.offset}`
}

const wellFormed = fc.string({ unit: 'binary' })
const json = fc.jsonValue({ stringUnit: 'binary', maxDepth: 5 })

describe('excluded parts', () => {
  test('members anywhere, in or out of order, first, last and only', () => {
    expect(without(['/ts'], '{"ts":1}')).toBe('{}')
    expect(without(['/ts'], '{"a":1,"ts":[1,{"ts":2}],"z":{"ts":3}}')).toBe('{"a":1,"z":{"ts":3}}')
    expect(without(['/ts'], '{"ts":1,"b":2,"a":3}')).toBe('{"a":3,"b":2}')
    expect(without(['/ts'], '{"b":2 , "ts" : 1}')).toBe('{"b":2}')
    expect(without(['/meta/sentAt', '/meta/id'], '{"meta":{"sentAt":1,"id":2},"a":1}')).toBe('{"a":1,"meta":{}}')
    expect(without(['/a~1b', '/m~0n', '/~01'], '{"a/b":1,"m~n":2,"~1":3,"c":4}')).toBe('{"c":4}')
    expect(without(['/t\ns'], '{"t\\u000as":1,"c":4,"b":5}')).toBe('{"b":5,"c":4}')
    expect(without(['/'], '{"":1,"c":4}')).toBe('{"c":4}')
  })

  test('elements by number and all of them by *', () => {
    expect(without(['/0'], '[1,2,3]')).toBe('[2,3]')
    expect(without(['/1'], '[1,2,3]')).toBe('[1,3]')
    expect(without(['/2'], '[1, 2, 3]')).toBe('[1,2]')
    expect(without(['/*'], '[1,2,[3]]')).toBe('[]')
    expect(without(['/0', '/1'], '[1,2,3]')).toBe('[3]')
    expect(without(['/0/a'], '[{"a":1,"b":2},{"a":1}]')).toBe('[{"b":2},{"a":1}]')
    expect(without(['/lines/*/ts', '/lines/1/id'], '{"lines":[{"ts":1,"id":1},{"id":2,"ts":2}]}')).toBe('{"lines":[{"id":1},{}]}')
    expect(without(['/7'], '[1]')).toBe('[1]')
  })

  test('a member named * is only that member, and a path that leads nowhere does nothing', () => {
    expect(without(['/*'], '{"*":1,"a":2}')).toBe('{"a":2}')
    expect(without(['/a/b', '/c'], '{"a":"b"}')).toBe('{"a":"b"}')
    expect(without([], '{"a":"b"}')).toBe('{"a":"b"}')
  })

  test('a broken or repeated excluded part is refused all the same', () => {
    expect(without(['/ts'], '{"ts":01}')).toBe('syntax at 6')
    expect(without(['/ts'], '{"ts":1,"a":1,"ts":2}')).toBe('duplicate-member at 14')
    expect(without(['/ts'], '{"ts":{"a":1,"a":2}}')).toBe('duplicate-member at 13')
  })

  test('any document without its excluded member is the document that never had it', () => {
    fc.assert(
      fc.property(fc.dictionary(wellFormed, json, { maxKeys: 30 }), wellFormed, json, fc.nat(), (members, name, value, where) => {
        const { [name]: _, ...others } = members
        const entries = Object.entries(others)
        entries.splice(where % (entries.length + 1), 0, [name, value])
        const text = `{${entries.map(([member, inner]) => `${JSON.stringify(member)}:${JSON.stringify(inner)}`).join(',')}}`
        const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
        expect(without([pointer], text)).toBe(without([], JSON.stringify(others)))
      }),
    )
  })

  test.each([
    ['ts', /begin it with "\/"/],
    ['', /begin it with "\/"/],
    ['/a~2', /neither "~0" nor "~1"/],
    ['/a~', /neither "~0" nor "~1"/],
  ])('%j is no path', (path, message) => {
    expect(() => without(['/ok', path], '{}')).toThrow(message)
    expect(() => without(['/ok', path], '{}')).toThrow(ConfigurationError)
  })

  test('a list is read once', () => {
    const exclude = ['/ts']
    expect(without(exclude, '{"ts":1}')).toBe('{}')
    expect(without(exclude, '{"ts":1,"a":2}')).toBe('{"a":2}')
  })
})
