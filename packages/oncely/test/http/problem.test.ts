import { type ProblemName, problem, problemKinds } from 'oncely/http'
import { describe, expect, test } from 'vitest'
import { retryAfter } from '../../src/http/problem.ts'

const names = Object.keys(problemKinds) as ProblemName[]
const base = 'https://api.example.com/problems/'
const bodyOf = (name: ProblemName, facts = {}) =>
  JSON.parse(new TextDecoder().decode(problem(base, name, facts).body)) as Record<string, unknown>

describe('a problem', () => {
  test.each(names)('%s is RFC 9457 with the machine fields of a retry', (name) => {
    const { status, headers } = problem(base, name)
    const kind = problemKinds[name]
    expect(bodyOf(name)).toEqual({
      type: `${base}${name}`,
      title: kind.title,
      status: kind.status,
      detail: kind.detail,
      retryable: kind.retryable,
      same_key: kind.sameKey,
      safe_new_key: kind.safeNewKey,
    })
    expect(status).toBe(kind.status)
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'application/problem+json',
      'content-language': 'en',
      'cache-control': 'no-store',
    })
  })

  test('that a retry can cure never invites a new key', () => {
    for (const name of names)
      if (problemKinds[name].retryable) expect(problemKinds[name], name).toMatchObject({ sameKey: true, safeNewKey: false })
  })

  test('allows a new key only where nothing can have happened', () => {
    expect(names.filter((name) => problemKinds[name].safeNewKey)).toEqual([
      'key-missing',
      'key-malformed',
      'body-malformed',
      'signature-invalid',
      'input-invalid',
      'body-too-large',
      'coding-unsupported',
    ])
  })

  test('has the statuses of the contract', () => {
    const statuses = Object.fromEntries(names.map((name) => [name, problemKinds[name].status]))
    expect(statuses).toEqual({
      'key-missing': 400,
      'key-malformed': 400,
      'body-malformed': 400,
      'signature-invalid': 400,
      'input-invalid': 400,
      'replay-forbidden': 403,
      'in-progress': 409,
      uncertain: 409,
      quarantined: 409,
      'result-not-stored': 409,
      expired: 410,
      'body-too-large': 413,
      'coding-unsupported': 415,
      mismatch: 422,
      'over-budget': 429,
      unrecorded: 503,
      unavailable: 503,
    })
  })

  test('carries what its occurrence adds', () => {
    const facts = {
      reason: 'oversize',
      detail: 'own words',
      issues: ['/a: b'],
      operationState: 'completed',
      record: 'abc',
      resource: '/x',
      originalStatus: 201,
      resolution: 'https://a/b',
    }
    expect(bodyOf('result-not-stored', facts)).toMatchObject({
      reason: 'oversize',
      detail: 'own words',
      issues: ['/a: b'],
      operation_state: 'completed',
      record: 'abc',
      resource: '/x',
      original_status: 201,
      resolution: 'https://a/b',
    })
    expect(bodyOf('uncertain', { record: '' })).not.toHaveProperty('record')
  })

  test('tells when to come back in whole seconds, at least one', () => {
    expect([0, 1, 999, 1_000, 1_001, 90_000].map(retryAfter)).toEqual(['1', '1', '1', '1', '2', '90'])
    expect(problem(base, 'in-progress', { retryAfterMs: 1_500 }).headers).toContainEqual(['retry-after', '2'])
    expect(problem(base, 'mismatch').headers.map(([name]) => name)).not.toContain('retry-after')
  })

  test('that refuses a coding names the ones that are taken', () => {
    expect(problem(base, 'coding-unsupported').headers).toContainEqual(['accept-encoding', 'gzip, deflate, br'])
  })
})
