import { codecIds, decodeValue, type EncodedValue, type Execution } from '../core/index.ts'
import type { HeaderLine } from './header-line.ts'
import { decodeNotStored, decodeResponse } from './http-codec.ts'
import type { ProblemFacts } from './problem.ts'
import { type HttpResponse, reply } from './response.ts'
import type { HttpRoute } from './route.ts'

/** What a request is answered with. */
export type Answer<R> =
  /** The handler ran here, and its value is the answer, with these headers added. */
  | { readonly kind: 'ran'; readonly value: R; readonly marks: readonly HeaderLine[] }
  /** The answer is not the handler's own: a replay, a refusal it threw, or a problem. */
  | { readonly kind: 'response'; readonly response: HttpResponse }
  /** Nothing ran; let the request through, with these headers added. */
  | { readonly kind: 'pass'; readonly marks: readonly HeaderLine[] }

const unmarked: readonly HeaderLine[] = []
const created: readonly HeaderLine[] = [['idempotency-status', 'created']]
/** Another region may still win over this answer: RFC 9651's false. */
const unsettledMark: HeaderLine = ['idempotency-settled', '?0']
const createdUnsettled: readonly HeaderLine[] = [...created, unsettledMark]
const unrecorded: readonly HeaderLine[] = [['idempotency-status', 'unrecorded']]
const replayMark: HeaderLine = ['idempotent-replayed', 'true']
const replayedMark: HeaderLine = ['idempotency-status', 'replayed']

/** Longest time a duplicate of a running request is told to wait: the lease is a bound for crashes, not for handlers. */
const inProgressRetryMaxMs = 5_000

/** The answer for each word of an execution; `unprotected` are the headers of one that ran without a record. */
export function answerOf<R, Tx>(route: HttpRoute<Tx>, execution: Execution<R>, unprotected: readonly HeaderLine[] = unmarked): Answer<R> {
  switch (execution.status) {
    case 'done':
      return { kind: 'ran', value: execution.value, marks: execution.settled === false ? createdUnsettled : created }
    case 'rejected': {
      const response = execution.value as HttpResponse
      const marks = execution.attempt === 0 ? unprotected : execution.settled === false ? createdUnsettled : created
      return { kind: 'response', response: { ...response, headers: [...response.headers, ...marks] } }
    }
    case 'failed':
      return { kind: 'ran', value: execution.value, marks: unmarked }
    case 'unprotected':
      return { kind: 'ran', value: execution.value, marks: unprotected }
    case 'unrecorded':
      if (execution.answer && execution.value !== undefined) return { kind: 'ran', value: execution.value, marks: unrecorded }
      return problemOf(route, 'unrecorded', execution.record, { retryAfterMs: execution.retryAfterMs })
    case 'replayed':
      return { kind: 'response', response: marked(replay(route, execution.stored, execution.record), execution.summary) }
    case 'in-progress': {
      const retryAfterMs = Math.min(execution.retryAfterMs, inProgressRetryMaxMs, route.definition.policy.retentionMs)
      return problemOf(route, 'in-progress', execution.record, { retryAfterMs, operationState: 'running' })
    }
    case 'mismatch':
      return problemOf(route, 'mismatch', execution.record)
    case 'uncertain':
      return problemOf(route, 'uncertain', execution.record, { operationState: 'uncertain', ...resolvable(route) })
    case 'quarantined':
      return problemOf(route, 'quarantined', execution.record, { operationState: 'quarantined' })
    case 'expired':
      return problemOf(route, 'expired', execution.record, { operationState: execution.summary.state })
    case 'forbidden':
      return problemOf(route, 'replay-forbidden', execution.record)
    case 'unavailable':
      if (execution.reason === 'over-budget') return problemOf(route, 'over-budget', '', { retryAfterMs: execution.retryAfterMs })
      return problemOf(route, 'unavailable', execution.record, { reason: execution.reason, retryAfterMs: execution.retryAfterMs })
    default:
      return execution satisfies never
  }
}

/** Where the operation has a resolver, a repeat may settle the doubt: it never runs the handler before that. */
function resolvable<Tx>(route: HttpRoute<Tx>): ProblemFacts {
  return route.definition.resolver === undefined ? {} : { retryable: true, retryAfterMs: inProgressRetryMaxMs }
}

/** A stored outcome as a response. One that was recorded through another entry point, or by hand, is sent as its value. */
function replay<Tx>(route: HttpRoute<Tx>, stored: EncodedValue, record: string): HttpResponse {
  switch (stored.codec) {
    case codecIds.http: {
      const response = decodeResponse(stored.bytes)
      response.headers.push(replayMark, replayedMark)
      return response
    }
    case codecIds.notStored:
    case codecIds.httpNotStored: {
      const { reason, status, resource } = decodeNotStored(stored)
      return route.recordProblem('result-not-stored', record, {
        reason,
        operationState: 'completed',
        originalStatus: status === 0 ? undefined : status,
        resource,
      })
    }
    default: {
      const response = reply(stored.codec === codecIds.jsonRejection ? 400 : 200, decodeValue(stored))
      return { ...response, headers: [...response.headers, replayMark, replayedMark] }
    }
  }
}

function marked(response: HttpResponse, { settled }: { readonly settled?: false }): HttpResponse {
  return settled === false ? { ...response, headers: [...response.headers, unsettledMark] } : response
}

function problemOf<R, Tx>(route: HttpRoute<Tx>, ...facts: Parameters<HttpRoute<Tx>['recordProblem']>): Answer<R> {
  return { kind: 'response', response: route.recordProblem(...facts) }
}
