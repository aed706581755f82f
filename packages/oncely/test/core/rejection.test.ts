import { describe, expect, test } from 'vitest'
import { isRejection, Rejection } from '../../src/core/index.ts'

describe('a rejection', () => {
  test('is an error with a name, that carries its value', () => {
    const rejection = new Rejection({ code: 'declined' })
    expect(rejection).toBeInstanceOf(Error)
    expect(rejection).toMatchObject({ name: 'Rejection', value: { code: 'declined' } })
    expect(Object.keys(rejection)).not.toContain('brand')
    expect(isRejection(rejection)).toBe(true)
  })

  test('is recognised whichever copy of the library made it', () => {
    const foreign = Object.defineProperty(new Error('from another copy'), Symbol.for('oncely.rejection'), { value: true })
    expect(isRejection(foreign)).toBe(true)
    expect(isRejection(Object.defineProperty({}, Symbol.for('oncely.rejection'), { value: 1 }))).toBe(false)
  })

  test.each([null, undefined, 'Rejection', 7, true, new Error('Rejection'), {}, () => 1])('is not %o', (thrown) => {
    expect(isRejection(thrown)).toBe(false)
  })
})
