import { Claims, type Oncely, type Operation, type Ownership } from 'oncely'
import { type HttpResponse, reply } from 'oncely/http'
import { claimProblem } from './claim-problem.ts'
import type { ClaimOutcome, Owned, Step, StepAnswers, StepRequests } from './claim-schema.ts'

/** What the steps work on. */
export interface ClaimDesk {
  readonly oncely: Oncely<never>
  /** Its policy holds for every operation; the name is the request's. */
  readonly operation: Operation<unknown, unknown, never, 'lease'>
  /** The authenticated caller, as text that no other caller can have. */
  readonly caller: string
}

type Steps = { readonly [S in Step]: (desk: ClaimDesk, body: StepRequests[S]) => Promise<HttpResponse> }

/** One caller's principal, or the caller itself: lists, so that no name can be made to look like another's. */
function principalOf({ caller }: ClaimDesk, principal: string | undefined): string {
  return JSON.stringify(principal === undefined ? [caller] : [caller, principal])
}

function claimsOf({ operation: { definition, engine } }: ClaimDesk, name?: string): Claims {
  return new Claims({ definition: name === undefined ? definition : { ...definition, name }, engine })
}

/** The record is addressed by who calls, so nobody can name another one's. */
function ownershipOf(desk: ClaimDesk, { key, principal, token, attemptId }: Owned): Ownership {
  return { id: desk.oncely.recordId({ principal: principalOf(desk, principal), key }), token: tokenOf(token), attemptId }
}

function tokenOf(text: string): Ownership['token'] {
  const [epoch = '', seq = ''] = text.split(':')
  return { epoch: Number(epoch), seq: BigInt(seq) }
}

function textOf({ epoch, seq }: Ownership['token']): string {
  return `${epoch}:${seq}`
}

function valueIn(outcome: ClaimOutcome): unknown {
  if ('json' in outcome) return outcome.json
  return outcome.base64 === undefined ? undefined : new Uint8Array(Buffer.from(outcome.base64, 'base64'))
}

function outcomeOf(value: unknown): ClaimOutcome {
  if (value === undefined) return {}
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : { json: value }
}

function good<S extends Step>(status: number, body: StepAnswers[S]): HttpResponse {
  return reply(status, body, { 'cache-control': 'no-store' })
}

async function renewed(desk: ClaimDesk, body: StepRequests['renew'], begun: boolean): Promise<HttpResponse> {
  const leaseMs = body.leaseMs ?? desk.operation.definition.policy.leaseMs
  const answer = await claimsOf(desk).renew(ownershipOf(desk, body), { leaseMs, begun })
  return answer === 'done' ? good<'renew'>(200, { word: 'done', leaseMs }) : claimProblem('lease-lost')
}

/** Each step as the API answers it. */
export const steps: Steps = {
  claim: async (desk, body) => {
    const { key, payload, actor, attemptId, leaseMs, begin, traceId } = body
    const facts = { body: payload !== undefined ? ({ kind: 'value', value: payload } as const) : ({ kind: 'none' } as const) }
    const call = { principal: principalOf(desk, body.principal), key, facts, actor, traceId }
    const answer = await claimsOf(desk, body.operation).claim(call, { attemptId, leaseMs, begin })
    switch (answer.word) {
      case 'acquired': {
        const { ownership, word, attempt, takeover, begun, derivedKey } = answer
        return good<'claim'>(201, {
          word,
          token: textOf(ownership.token),
          attemptId,
          attempt,
          takeover,
          begun,
          leaseMs: answer.leaseMs,
          derivedKey,
        })
      }
      case 'replay':
        return good<'claim'>(200, { word: 'replay', attempt: answer.record.attempt, outcome: outcomeOf(answer.value) })
      case 'in-progress':
        return claimProblem('in-progress', { retryAfterMs: answer.retryAfterMs })
      case 'uncertain':
      case 'quarantined':
        return claimProblem(answer.word, { token: textOf(answer.record.token) })
      case 'forbidden':
        return claimProblem('replay-forbidden')
      case 'mismatch':
      case 'expired':
        return claimProblem(answer.word)
      case 'unreadable':
        return claimProblem('unreadable', { retryAfterMs: 5_000 })
      default:
        return answer satisfies never
    }
  },
  renew: (desk, body) => renewed(desk, body, false),
  begin: (desk, body) => renewed(desk, body, true),
  complete: async (desk, body) => {
    const answer = await claimsOf(desk).complete(ownershipOf(desk, body), valueIn(body.outcome))
    if (answer === 'done') return good<'complete'>(200, { word: 'done' })
    return claimProblem(answer === 'conflict' ? 'outcome-conflict' : 'lease-lost')
  },
  release: async (desk, body) => {
    const answer = await claimsOf(desk).release(ownershipOf(desk, body), { reason: body.reason, declared: body.declared === true })
    if (answer === 'done') return good<'release'>(200, { word: 'done' })
    return claimProblem(answer === 'begun' ? 'begun' : 'lease-lost')
  },
  seal: async (desk, body) => {
    const answer = await claimsOf(desk).seal(ownershipOf(desk, body), { reason: body.reason })
    return answer === 'done' ? good<'seal'>(200, { word: 'done' }) : claimProblem('lease-lost')
  },
  resolve: async (desk, body) => {
    const { key, principal, expected, verdict, reason } = body
    const { oncely, caller } = desk
    const record = await oncely.read(oncely.recordId({ principal: principalOf(desk, principal), key }))
    if (record === undefined) return claimProblem('absent')
    if (record.state !== expected.state || textOf(record.token) !== expected.token) return claimProblem('changed')
    const by = `${body.by} (${caller.slice(0, 100)})`
    const decision = verdict.applied ? { applied: true, value: valueIn(verdict.outcome), by, reason } : { applied: false, by, reason }
    const answer = await oncely.resolve(record, decision)
    if (answer.word === 'early') return claimProblem('early', { retryAfterMs: answer.retryAfterMs })
    return answer.word === 'resolved' ? good<'resolve'>(200, { word: 'resolved' }) : claimProblem('changed')
  },
  read: async (desk, { key, principal }) => {
    const { oncely } = desk
    const record = await oncely.read(oncely.recordId({ principal: principalOf(desk, principal), key }))
    if (record === undefined) return claimProblem('absent')
    const { state, operation, policy, attempt, begunAttempt, token, createdAtMs } = record
    const iso = (ms: number): string => new Date(ms).toISOString()
    return good<'read'>(200, {
      word: 'found',
      state,
      operation,
      policy: policy.name,
      attempt,
      begun: begunAttempt !== 0,
      token: textOf(token),
      createdAt: iso(createdAtMs),
      ...('completedAtMs' in record ? { completedAt: iso(record.completedAtMs) } : {}),
      ...('leaseEndMs' in record ? { leaseEnd: iso(record.leaseEndMs) } : {}),
      ...('reason' in record ? { reason: record.reason } : {}),
    })
  },
}
