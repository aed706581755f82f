import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createOncely, type RunResult } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  type Charge,
  type CreatePayment,
  declare,
  declined,
  graphqlResolvers,
  grpcCodes,
  nextRoute,
  type Payment,
  payBatch,
  serverAction,
  settled,
  trpcCodes,
} from './recipes.ts'

function shop(): { createPayment: CreatePayment; charge: Charge; charged: number[] } {
  const oncely = createOncely({ namespace: 'recipes', store: memoryStore() })
  onTestFinished(() => oncely.drain())
  const charged: number[] = []
  const charge: Charge = async ({ amount }) => {
    if (amount > 100) throw declined()
    charged.push(amount)
    return { id: `payment-${charged.length}`, amount }
  }
  return { createPayment: declare(oncely), charge, charged }
}

describe('the page of recipes', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../../docs/recipes.md'), 'utf8')
  const source = readFileSync(join(import.meta.dirname, 'recipes.ts'), 'utf8')
  const blocks = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, code = '']) => code)

  test.each(blocks.map((code) => [code.split('\n', 1)[0], code]))('shows the tested %s', (_line, code) => {
    expect(source.replaceAll(/^export /gm, '')).toContain(code)
  })

  test('has all of them', () => {
    expect(blocks.length).toBe(8)
  })
})

test('a GraphQL mutation takes its key as an argument', async () => {
  const { createPayment, charge, charged } = shop()
  const { createPayment: mutate } = graphqlResolvers(createPayment, charge).Mutation
  const pay = (amount: number, accountId = 'a') => mutate(undefined, { idempotencyKey: 'k', input: { amount } }, { accountId })
  expect(await pay(1)).toEqual({ __typename: 'Payment', id: 'payment-1', amount: 1 })
  expect(await pay(1)).toEqual({ __typename: 'Payment', id: 'payment-1', amount: 1 })
  expect(await pay(2)).toEqual({ __typename: 'Refusal', code: 'mismatch', retryable: false })
  expect(await pay(101, 'b')).toEqual({ __typename: 'Refusal', code: 'rejected', retryable: false })
  expect(charged).toEqual([1])
})

test('a Next route handler is a fetch route', async () => {
  const { createPayment, charge, charged } = shop()
  const { POST } = nextRoute(createPayment, charge, (request) => request.headers.get('x-account') ?? 'a')
  const post = (body: string) =>
    POST(
      new Request('https://shop.example/payments', {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
      }),
    )
  expect((await post('{"amount":1}')).status).toBe(201)
  expect((await post('{ "amount": 1 }')).headers.get('idempotent-replayed')).toBe('true')
  expect(charged).toEqual([1])
})

test('a server action takes its key from a hidden field of the form', async () => {
  const { createPayment, charge, charged } = shop()
  const pay = serverAction(createPayment, charge, async () => ({ accountId: 'a' }))
  const form = new FormData()
  form.set('amount', '1')
  form.set('idempotency-key', 'made-when-the-form-was-rendered')
  for (let click = 0; click < 2; click++) expect(await pay(form)).toEqual({ value: { id: 'payment-1', amount: 1 } })
  expect(charged).toEqual([1])
})

test('a batch answers item by item, and its retry runs what is left', async () => {
  const { createPayment, charge, charged } = shop()
  let broken = true
  const flaky: Charge = (input) => (broken && input.amount === 2 ? Promise.reject(declined()) : charge(input))
  const items = [
    { key: 'c', input: { amount: 3 } },
    { key: 'b', input: { amount: 2 } },
    { key: 'a', input: { amount: 1 } },
    { key: 'a', input: { amount: 1 } },
    { key: 'a', input: { amount: 7 } },
  ]
  const first = await payBatch(createPayment, flaky, 'account', items)
  expect(charged).toEqual([1, 3])
  expect(first).toEqual([
    { value: { id: 'payment-2', amount: 3 } },
    { refusal: { code: 'rejected', retryable: false } },
    { value: { id: 'payment-1', amount: 1 } },
    { value: { id: 'payment-1', amount: 1 } },
    { refusal: { code: 'mismatch', retryable: false } },
  ])
  broken = false
  expect(await payBatch(createPayment, flaky, 'account', [...items, { key: 'd', input: { amount: 4 } }])).toEqual([
    ...first,
    { value: { id: 'payment-3', amount: 4 } },
  ])
})

describe('each word of a call', () => {
  const value: Payment = { id: 'payment-1', amount: 1 }
  const words: readonly RunResult<Payment>[] = [
    { status: 'done', value, attempt: 1 },
    { status: 'replayed', value },
    { status: 'unprotected', value },
    { status: 'unrecorded', value, retryAfterMs: 1 },
    { status: 'unrecorded', value: undefined, retryAfterMs: 1 },
    { status: 'in-progress', retryAfterMs: 1 },
    { status: 'unavailable', retryAfterMs: 1, reason: 'store', cause: undefined },
    { status: 'rejected', value: {}, replayed: false },
    { status: 'mismatch' },
    { status: 'uncertain', record: '' },
    { status: 'quarantined', record: '' },
    { status: 'expired' },
    { status: 'not-stored' },
    { status: 'forbidden' },
  ]

  test.each(words)('$status is a value, or a refusal that tRPC and gRPC have a code for', (word) => {
    const result = settled(word)
    if ('value' in result) return expect(result.value).toBe(value)
    const { code, retryable } = result.refusal
    expect(trpcCodes).toHaveProperty([code])
    // gRPC clients repeat a call for UNAVAILABLE only.
    expect((grpcCodes as Record<string, number>)[code] === 14).toBe(retryable)
  })
})
