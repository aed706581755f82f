import { expect, test } from 'vitest'
import { AttemptEnd } from '../../src/core/attempt-end.ts'

const over = new Error('over')

test('a signal taken before the end is aborted by it, with its reason', () => {
  const end = new AttemptEnd()
  const { signal } = end
  expect(signal.aborted).toBe(false)
  end.tell(over)
  expect(signal.aborted).toBe(true)
  expect(signal.reason).toBe(over)
})

test('a signal taken after the end is aborted already', () => {
  const end = new AttemptEnd()
  end.tell(over)
  expect(end.signal.aborted).toBe(true)
  expect(end.signal.reason).toBe(over)
})

test('every look at the signal finds the same one, and the first reason stands', () => {
  const end = new AttemptEnd()
  const { signal } = end
  end.tell(over)
  end.tell(new Error('again'))
  expect(end.signal).toBe(signal)
  expect(signal.reason).toBe(over)
})

test('a second reason does not replace the first for whoever looks late', () => {
  const end = new AttemptEnd()
  end.tell(over)
  end.tell(new Error('again'))
  expect(end.signal.reason).toBe(over)
})
