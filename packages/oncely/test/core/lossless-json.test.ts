import { InvalidInput, losslessJson } from 'oncely'
import { describe, expect, test } from 'vitest'

const read = (text: string): unknown => losslessJson(new TextEncoder().encode(text), 8)

describe('JSON that is read without loss', () => {
  test('is the value, however it is written', () => {
    expect(read('{"b": [1.50, -0, 1e3, "\\u0041"], "a": null}')).toEqual({ b: [1.5, -0, 1000, 'A'], a: null })
    expect(read('9007199254740991')).toBe(9_007_199_254_740_991)
  })

  test.each(['9007199254740993', '0.10000000000000001', '1e400', '{"a":1,"a":1}', '[', '', '"\\ud800"', '[[[[[[[[[1]]]]]]]]]'])(
    'is refused: %s',
    (text) => {
      expect(() => read(text)).toThrow(InvalidInput)
    },
  )
})
