import fc from 'fast-check'
import { checkLinearizable, type HistoryOperation, type SequentialModel } from 'oncely/testing'
import { describe, expect, test } from 'vitest'

type RegisterInput = { readonly write: number } | 'read'

const register: SequentialModel<number, RegisterInput, number> = {
  initial: 0,
  step: (state, input, output) => (input === 'read' ? (state === output ? [state] : []) : [input.write]),
  stepUnknown: (state, input) => [input === 'read' ? state : input.write],
  keyOf: String,
}

type Operation = HistoryOperation<RegisterInput, number>

const write = (value: number, invokedAt: number, returnedAt: number): Operation => ({
  input: { write: value },
  invokedAt,
  returnedAt,
  result: { kind: 'ok', output: 0 },
})
const read = (output: number, invokedAt: number, returnedAt: number): Operation => ({
  input: 'read',
  invokedAt,
  returnedAt,
  result: { kind: 'ok', output },
})
const lostWrite = (value: number, invokedAt: number): Operation => ({
  input: { write: value },
  invokedAt,
  returnedAt: 0,
  result: { kind: 'unknown' },
})
const failedWrite = (value: number, invokedAt: number, returnedAt: number): Operation => ({
  input: { write: value },
  invokedAt,
  returnedAt,
  result: { kind: 'fail' },
})

const verdictOf = (...history: Operation[]): string => checkLinearizable(history, register).verdict

describe('histories of a register with a known verdict', () => {
  test('nothing happened', () => {
    expect(verdictOf()).toBe('linearizable')
  })

  test('one client after another', () => {
    expect(verdictOf(write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7))).toBe('linearizable')
  })

  test('a stale read after a write that had returned is not', () => {
    expect(verdictOf(write(1, 0, 1), read(0, 2, 3))).toBe('not-linearizable')
  })

  test('reads beside a write may see it or not, in this order', () => {
    expect(verdictOf(write(100, 0, 10), read(0, 1, 3), read(100, 4, 6))).toBe('linearizable')
  })

  test('reads beside a write may not see it and then not see it', () => {
    expect(verdictOf(write(200, 0, 10), read(200, 1, 3), read(0, 4, 6))).toBe('not-linearizable')
  })

  test('two writes at once are seen in one order by everybody', () => {
    expect(verdictOf(write(1, 0, 10), write(2, 0, 10), read(1, 11, 12), read(1, 13, 14))).toBe('linearizable')
    expect(verdictOf(write(1, 0, 10), write(2, 0, 10), read(1, 11, 12), read(2, 13, 14))).toBe('not-linearizable')
  })

  test('two readers that see two writes in opposite orders are not', () => {
    const writes = [write(1, 0, 100), write(2, 0, 100)]
    expect(verdictOf(...writes, read(1, 1, 10), read(2, 11, 20), read(1, 21, 30))).toBe('not-linearizable')
  })

  test('a value that nobody wrote is not', () => {
    expect(verdictOf(write(1, 0, 10), read(3, 1, 4))).toBe('not-linearizable')
  })

  test('a write without an answer may take effect later, at once, or never', () => {
    expect(verdictOf(lostWrite(1, 0), read(0, 5, 6), read(1, 7, 8))).toBe('linearizable')
    expect(verdictOf(lostWrite(1, 0), read(1, 5, 6))).toBe('linearizable')
    expect(verdictOf(lostWrite(1, 0), read(0, 5, 6))).toBe('linearizable')
  })

  test('a write without an answer takes effect once', () => {
    expect(verdictOf(lostWrite(1, 0), read(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8))).toBe('not-linearizable')
  })

  test('a write cannot be seen before it was sent', () => {
    expect(verdictOf(read(1, 0, 1), lostWrite(1, 2))).toBe('not-linearizable')
  })

  test('a write that failed is never seen', () => {
    expect(verdictOf(failedWrite(1, 0, 1), read(0, 2, 3))).toBe('linearizable')
    expect(verdictOf(failedWrite(1, 0, 1), read(1, 2, 3))).toBe('not-linearizable')
  })
})

describe('the verdict', () => {
  test('names an order that explains every answer', () => {
    const [late, early] = [write(100, 0, 10), read(0, 1, 3)]
    expect(checkLinearizable([late, early], register)).toEqual({ verdict: 'linearizable', order: [early, late] })
  })

  test('names the longest order and what cannot follow it', () => {
    const [first, second, stale] = [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]
    expect(checkLinearizable([first, second, stale], register)).toEqual({
      verdict: 'not-linearizable',
      order: [first, second],
      stuck: [stale],
    })
  })

  test('is undecided when the search is longer than allowed', () => {
    const history = [...Array.from({ length: 12 }, (_, value) => write(value, 0, 100)), read(99, 101, 102)]
    expect(checkLinearizable(history, register, { statesMax: 50 })).toEqual({ verdict: 'undecided' })
    expect(checkLinearizable(history, register).verdict).toBe('not-linearizable')
  })
})

describe('random histories', () => {
  /** A register that really is one: each operation takes effect at a moment between its invocation and its return. */
  const histories = fc.array(
    fc.record({
      write: fc.option(fc.integer({ min: 1, max: 4 })),
      at: fc.nat(60),
      before: fc.nat(12),
      after: fc.nat(12),
      lost: fc.boolean(),
    }),
    { maxLength: 24 },
  )

  function observed(plan: readonly { write: number | null; at: number; before: number; after: number; lost: boolean }[]): Operation[] {
    let value = 0
    return plan
      .map((step, index) => ({ ...step, moment: step.at + index / 1_000 }))
      .sort((a, b) => a.moment - b.moment)
      .map(({ write: written, moment, before, after, lost }) => {
        if (written !== null) value = written
        const input: RegisterInput = written === null ? 'read' : { write: written }
        return {
          input,
          invokedAt: moment - before,
          returnedAt: moment + after,
          result: lost ? { kind: 'unknown' } : { kind: 'ok', output: value },
        }
      })
  }

  test('of a real register are linearizable', () => {
    fc.assert(fc.property(histories, (plan) => verdictOf(...observed(plan)) === 'linearizable'))
  })

  test('agree with trying every order', () => {
    const small = fc.array(
      fc.record({
        write: fc.option(fc.integer({ min: 1, max: 2 })),
        output: fc.integer({ min: 0, max: 2 }),
        at: fc.nat(8),
        length: fc.nat(6),
        lost: fc.boolean(),
      }),
      { maxLength: 6 },
    )
    const seen = { linearizable: 0, 'not-linearizable': 0 }
    fc.assert(
      fc.property(small, (plan) => {
        const history = plan.map(({ write: written, output, at, length, lost }, index): Operation => {
          const input: RegisterInput = written === null ? 'read' : { write: written }
          return {
            input,
            invokedAt: at + index / 100,
            returnedAt: at + length + 0.5,
            result: lost ? { kind: 'unknown' } : { kind: 'ok', output },
          }
        })
        const expected = someOrderExplains(history, 0) ? 'linearizable' : 'not-linearizable'
        seen[expected]++
        expect(verdictOf(...history)).toBe(expected)
      }),
      { numRuns: 500 },
    )
    expect(Math.min(seen.linearizable, seen['not-linearizable'])).toBeGreaterThan(20)
  })

  /** The definition, as slow as it is. */
  function someOrderExplains(rest: readonly Operation[], value: number): boolean {
    const owed = rest.filter(({ result }) => result.kind === 'ok')
    if (owed.length === 0) return true
    return rest.some((candidate) => {
      if (owed.some((other) => other !== candidate && other.returnedAt < candidate.invokedAt)) return false
      const { input, result } = candidate
      const after = input === 'read' ? value : input.write
      if (result.kind === 'ok' && input === 'read' && result.output !== value) return false
      return someOrderExplains(
        rest.filter((other) => other !== candidate),
        after,
      )
    })
  }
})
