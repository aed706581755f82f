import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as core from '../../src/core/index.ts'
import { isOncelyError, OncelyError } from '../../src/core/index.ts'

const folder = join(import.meta.dirname, '../..')
const source = readFileSync(join(folder, 'src/core/errors.ts'), 'utf8')
const page = readFileSync(join(folder, '../../docs/errors.md'), 'utf8')

const cause = new Error('the cause')
const message = 'lease is 0; it must be at least 1; raise it'

/** One of each class, made as its users make it. */
const errors: readonly OncelyError[] = [
  new core.ConfigurationError(message, { cause }),
  new core.InvalidInput(message, ['/amount: missing'], { cause }),
  new core.PrincipalMissing('create-payment', { cause }),
  new core.KeyInvalid(message, { cause }),
  new core.BodyNotCaptured(message, { cause }),
  new core.ValueNotStorable(message, { cause }),
  new core.StoreUnavailable(message, { applied: 'unknown' }, { cause }),
  new core.StoreTooWeak(message, { cause }),
  new core.StoreSchemaMismatch(message, { cause }),
  new core.TransactionConflict(message, { cause }),
  new core.TransactionDead(message, { cause }),
  new core.TransactionEscaped(message, { cause }),
  new core.ForeignTransaction(message, { cause }),
  new core.LeaseLost(message, { cause }),
  new core.OutcomeCorrupt(message, { cause }),
  new core.OutcomeConflict(message, { cause }),
  new core.SecretMissing(3, [1, 2], { cause }),
  new core.RecordHeld(message, { cause }),
  new core.OutboxSealed(message, { cause }),
  new core.StepHistoryMismatch(message, { cause }),
  new core.StepVersionMissing(message, { cause }),
  new core.EffectAmbiguous(message, { cause }),
  new core.Unsupported(message, { cause }),
  new core.Draining({ cause }),
  new core.InboxPositionLost('the source was made anew', { cause }),
]

/** The rows of the table: code, when, retryable, same key, what to do. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `ONCELY_'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
const declared = [...(/export type OncelyErrorCode =([^;]*?)(;|\n\n)/s.exec(source)?.[1] ?? '').matchAll(/'(ONCELY_[A-Z_]+)'/g)].map(
  ([, code]) => code,
)

describe('each error', () => {
  test.each(errors.map((error) => [error.constructor.name, error] as const))('%s carries name, code, cause and brand', (name, error) => {
    expect(error).toBeInstanceOf(Error)
    expect(error).toBeInstanceOf(OncelyError)
    expect(error.name).toBe(name)
    expect(error.code).toMatch(/^ONCELY_[A-Z]+(_[A-Z]+)*$/)
    expect(error.cause).toBe(cause)
    expect(error.message.length).toBeGreaterThan(10)
    expect(isOncelyError(error)).toBe(true)
  })

  test.each(errors.map((error) => [error.code, error] as const))('%s is told in the page as it is', (code, error) => {
    const row = rows.find(([cell]) => cell === `\`${code}\``)
    expect(row?.slice(2, 4)).toEqual([error.retryable ? 'yes' : 'no', error.sameKey ? 'yes' : 'no'])
  })

  test('has a class, and each class of the module is tried here', () => {
    const classes = Object.values(core).filter((value) => typeof value === 'function' && value.prototype instanceof OncelyError)
    expect(classes.map((value) => (value as { name: string }).name).sort()).toEqual(errors.map((error) => error.constructor.name).sort())
  })

  test('without a cause has none', () => {
    expect('cause' in new core.ConfigurationError(message)).toBe(false)
    expect('cause' in new core.Draining()).toBe(false)
  })
})

describe('the codes', () => {
  test('are one for each class, and never shared', () => {
    expect(new Set(errors.map(({ code }) => code)).size).toBe(errors.length)
  })

  test('are the same set in the code, in the type and in docs/errors.md', () => {
    const codes = errors.map(({ code }) => code).sort()
    expect([...declared].sort()).toEqual(codes)
    expect(rows.map(([cell]) => cell?.replaceAll('`', '')).sort()).toEqual(codes)
  })

  test('are each told when, and what to do', () => {
    for (const [code, when, , , fix] of rows) {
      expect(when, code).not.toBe('')
      expect(fix, code).not.toBe('')
    }
  })
})

describe('what an error says beside its message', () => {
  test('the input, without its values', () => {
    expect(new core.InvalidInput(message, ['/amount: missing']).issues).toEqual(['/amount: missing'])
    expect(new core.InvalidInput(message).issues).toEqual([])
  })

  test('whether a step of the store can have happened', () => {
    expect(new core.StoreUnavailable(message, { applied: 'no' }).applied).toBe('no')
    expect(new core.StoreUnavailable(message, { applied: 'unknown' }).applied).toBe('unknown')
  })

  test('which operation has no principal, and how to give one', () => {
    expect(new core.PrincipalMissing('create-payment').message).toMatch(/^Operation "create-payment" got no principal\. Pass /)
  })
})

describe('telling one from others', () => {
  test('works over two copies of the library', () => {
    const foreign = Object.assign(new Error('from another copy'), { [Symbol.for('oncely.error')]: true })
    expect(isOncelyError(foreign)).toBe(true)
  })

  test.each([[undefined], [null], ['ONCELY_CONFIGURATION'], [new Error('other')], [{ code: 'ONCELY_CONFIGURATION' }]])(
    'is false for %s',
    (value) => {
      expect(isOncelyError(value)).toBe(false)
    },
  )

  test('the brand is not listed among the members', () => {
    expect(
      Object.getOwnPropertySymbols(new core.Draining()).filter((symbol) =>
        Object.prototype.propertyIsEnumerable.call(new core.Draining(), symbol),
      ),
    ).toEqual([])
  })
})
