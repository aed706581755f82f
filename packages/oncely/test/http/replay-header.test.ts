import { replayedHeaders } from 'oncely/http'
import { describe, expect, test } from 'vitest'
import { storedHeaderNames, storedHeaders } from '../../src/http/replay-header.ts'

describe('the headers of a replay', () => {
  test('are an allow-list, in the order and the lines of the first answer', () => {
    const lines = [
      ['link', '</a>'],
      ['x-own', '1'],
      ['content-type', 'text/plain'],
      ['link', '</b>'],
      ['set-cookie', 'a=1'],
      ['date', 'now'],
    ] as const
    expect(storedHeaders(lines, storedHeaderNames())).toEqual([
      ['link', '</a>'],
      ['content-type', 'text/plain'],
      ['link', '</b>'],
    ])
  })

  test('may be more where a route says so', () => {
    expect(storedHeaders([['x-own', '1']], storedHeaderNames(['X-Own']))).toEqual([['x-own', '1']])
  })

  test.each([
    'Set-Cookie',
    'Set-Cookie2',
    'Authorization',
    'Authentication-Info',
    'WWW-Authenticate',
    'Proxy-Authenticate',
    'proxy-status',
    'X-CSRF-Token',
    'tokens',
    'Client-Secret',
  ])('%s can carry a credential and cannot be asked for', (name) => {
    expect(() => storedHeaderNames([name])).toThrow(
      expect.objectContaining({ code: 'ONCELY_CONFIGURATION', message: expect.stringContaining('credential') }),
    )
  })

  test.each([
    'Connection',
    'Keep-Alive',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'Content-Length',
    'Date',
    'Age',
    'Request-Id',
    'X-Request-ID',
    'X-Correlation-Id',
    'RateLimit',
    'RateLimit-Policy',
    'X-RateLimit-Reset',
    'Retry-After',
    'traceparent',
    'Server-Timing',
    'Idempotent-Replayed',
    'Idempotency-Status',
  ])('%s belongs to one message and cannot be asked for', (name) => {
    expect(() => storedHeaderNames([name])).toThrow(
      expect.objectContaining({ code: 'ONCELY_CONFIGURATION', message: expect.stringContaining('made anew') }),
    )
  })

  test('hold none by default that a route could not ask for', () => {
    expect(() => storedHeaderNames(replayedHeaders)).not.toThrow()
  })
})
