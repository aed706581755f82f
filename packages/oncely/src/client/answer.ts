import { type ClientPlatform, dateMs } from './platform.ts'

/** What one answer says about repeating the request and about its effect. */
export interface Answer {
  /** The same request with the same key may, and should, be sent again. */
  readonly repeat: boolean
  /**
   * `decided`: this is the outcome of the key. `none`: this attempt was turned away before anything ran. `unknown`: the effect may
   * have happened, or may still happen.
   */
  readonly effect: 'decided' | 'none' | 'unknown'
  readonly retryAfterMs: number | undefined
  readonly replayed: boolean
  readonly settled: boolean
}

/** The members of a problem (RFC 9457) that say whether a repeat can help. */
interface Problem {
  readonly retryable?: unknown
  readonly safe_new_key?: unknown
  readonly operation_state?: unknown
}

/** Turned away before anything ran, in HTTP's own words. */
const turnedAway: readonly number[] = [400, 401, 403, 405, 407, 408, 411, 413, 415, 422, 425, 429, 431]
/** Repeated unless the server says that it is of no use. */
const passing: readonly number[] = [502, 503, 504]
/** Repeated only where the server says that it is of use. */
const onRequest: readonly number[] = [408, 409, 425, 429, 500]

/** Reads an answer without using up the response. */
export async function readAnswer(response: Response, platform: ClientPlatform): Promise<Answer> {
  const { status, headers } = response
  const problem: Problem =
    status >= 400 && headers.get('content-type')?.startsWith('application/problem+json') ? await readProblem(response) : {}
  const retryAfterMs = readRetryAfter(headers, platform)
  const replayed = headers.get('idempotent-replayed') === 'true'
  const asked = problem.retryable === true || (status === 429 && retryAfterMs !== undefined && problem.retryable !== false)
  return {
    repeat: !replayed && ((passing.includes(status) && problem.retryable !== false) || (onRequest.includes(status) && asked)),
    effect: effectOf(status, problem, replayed),
    retryAfterMs,
    replayed,
    settled: headers.get('idempotency-settled') !== '?0',
  }
}

function effectOf(status: number, problem: Problem, replayed: boolean): Answer['effect'] {
  if (replayed || status < 400) return 'decided'
  if (problem.operation_state === 'uncertain' || problem.operation_state === 'quarantined') return 'unknown'
  if (turnedAway.includes(status) || problem.safe_new_key === true) return 'none'
  return status >= 500 || problem.retryable === true ? 'unknown' : 'decided'
}

/** A problem that is no JSON object says nothing; one that is cut off is a lost answer, and throws. */
async function readProblem(response: Response): Promise<Problem> {
  const text = await response.clone().text()
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}

/** Seconds or a date (RFC 9110 §10.2.3); a date is compared with the server's own clock where the server shows it. */
function readRetryAfter(headers: Headers, platform: ClientPlatform): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? ''
  if (/^\d+$/.test(value)) return Number(value) * 1_000
  const untilMs = dateMs(value)
  if (Number.isNaN(untilMs)) return undefined
  const serverMs = dateMs(headers.get('date') ?? '')
  return Math.max(0, untilMs - (Number.isNaN(serverMs) ? platform.nowMs() : serverMs))
}
