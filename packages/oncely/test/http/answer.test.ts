import { createOncely } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { expect, test } from 'vitest'
import { answerOf } from '../../src/http/answer.ts'
import { HttpRoute } from '../../src/http/route.ts'

const policy = ['standard', { survives: 'nothing' }] as const

function uncertainAnswer(resolver: boolean): { retryable: unknown; retryAfter: string | undefined } {
  const oncely = createOncely({ namespace: 'test', store: memoryStore() })
  const operation = oncely.operation('charge', {
    bind: 'lease',
    policy,
    ...(resolver ? { resolver: async () => ({ verdict: 'unknown' as const }) } : {}),
  })
  const route = new HttpRoute<never>(operation, {})
  const answer = answerOf(route, { status: 'uncertain', summary: undefined, record: '' })
  if (answer.kind !== 'response') throw new Error(answer.kind)
  const { retryable } = JSON.parse(new TextDecoder().decode(answer.response.body)) as { retryable: unknown }
  return { retryable, retryAfter: answer.response.headers.find(([name]) => name === 'retry-after')?.[1] }
}

test('doubt without a resolver is not for the client to retry', () => {
  expect(uncertainAnswer(false)).toEqual({ retryable: false, retryAfter: undefined })
})

test('doubt that a resolver may settle is retried with the same key, a little later', () => {
  expect(uncertainAnswer(true)).toEqual({ retryable: true, retryAfter: '5' })
})
