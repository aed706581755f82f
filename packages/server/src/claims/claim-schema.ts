import { z } from 'zod'

// What the claims API takes and answers. The same schemas validate requests and make the OpenAPI document.

/** What retries get: JSON, bytes, or nothing but that it was done. */
export type ClaimOutcome = { readonly json: unknown } | { readonly base64: string } | { readonly json?: never; readonly base64?: never }

interface Address {
  readonly key: string
  readonly principal?: string | undefined
}

/** What proves a claim. */
export interface Owned extends Address {
  readonly token: string
  readonly attemptId: string
}

/** The body of each step, by its name. */
export interface StepRequests {
  readonly claim: Address & {
    readonly operation: string
    readonly attemptId: string
    readonly payload?: unknown
    readonly actor?: string | undefined
    readonly leaseMs?: number | undefined
    readonly begin?: 'at-claim' | 'explicit' | undefined
    readonly traceId?: string | undefined
  }
  readonly renew: Owned & { readonly leaseMs?: number | undefined }
  readonly begin: Owned & { readonly leaseMs?: number | undefined }
  readonly complete: Owned & { readonly outcome: ClaimOutcome }
  readonly release: Owned & { readonly reason: string; readonly declared?: boolean | undefined }
  readonly seal: Owned & { readonly reason: string }
  readonly resolve: Address & {
    readonly expected: { readonly state: 'uncertain' | 'quarantined'; readonly token: string }
    readonly verdict: { readonly applied: true; readonly outcome: ClaimOutcome } | { readonly applied: false }
    readonly by: string
    readonly reason: string
  }
  readonly read: Address
}

export type Step = keyof StepRequests

interface Done {
  readonly word: 'done'
  readonly leaseMs?: number | undefined
}

/** The body of each good answer, by its step. */
export interface StepAnswers {
  readonly claim:
    | {
        readonly word: 'acquired'
        readonly token: string
        readonly attemptId: string
        readonly attempt: number
        readonly takeover: boolean
        readonly begun: boolean
        readonly leaseMs: number
        readonly derivedKey: string
      }
    | { readonly word: 'replay'; readonly attempt: number; readonly outcome: ClaimOutcome }
  readonly renew: Done
  readonly begin: Done
  readonly complete: Done
  readonly release: Done
  readonly seal: Done
  readonly resolve: { readonly word: 'resolved' }
  readonly read: {
    readonly word: 'found'
    readonly state: 'running' | 'released' | 'uncertain' | 'quarantined' | 'completed'
    readonly operation: string
    readonly policy: string
    readonly attempt: number
    readonly begun: boolean
    readonly token: string
    readonly createdAt: string
    readonly completedAt?: string | undefined
    readonly leaseEnd?: string | undefined
    readonly reason?: string | undefined
  }
}

const key = z.string().min(1).max(255).meta({ description: 'the idempotency key of the intent: the same on each retry of it' })
const principal = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'for whom the authenticated service acts (an account); each has its own keys' })
const uuid = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
  .meta({ description: 'a random UUID in lower case' })
const token = z
  .string()
  .regex(/^\d{1,9}:\d{1,18}$/)
  .meta({ description: 'the fencing token, epoch:seq; it grows with each claim of a key' })
const leaseMs = z.int().min(1_000).max(86_400_000).meta({ description: 'how long the claim holds without a renewal' })
/** Text that the audit trail keeps. */
const line = (max: number): z.ZodString =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}+$/u)
const reason = line(200).meta({ description: 'for the audit trail; never a key or a body' })
const operation = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/)
  .meta({ description: 'the stable name of what is done, part of the fingerprint' })
const json = z.unknown().meta({ description: 'any JSON; numbers that a double cannot carry go as text' })
const base64 = z
  .string()
  .max(8_000_000)
  .regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/)
  .meta({ description: 'bytes' })

const outcome: z.ZodType<ClaimOutcome> = z
  .union([z.strictObject({ json }), z.strictObject({ base64 }), z.strictObject({})])
  .meta({ description: 'what retries get: JSON, bytes, or nothing but that it was done' })

const address = { key, principal: principal.optional() }
const owned = { ...address, token, attemptId: uuid }

export const requests: { readonly [S in Step]: z.ZodType<StepRequests[S]> } = {
  claim: z.strictObject({
    ...address,
    operation,
    attemptId: uuid,
    payload: json
      .optional()
      .meta({ description: 'what the intent is: a retry must have the same, or it is a mismatch. Only its digest is kept' }),
    actor: z.string().min(1).max(255).optional().meta({ description: 'who acts for the principal' }),
    leaseMs: leaseMs.optional(),
    begin: z
      .enum(['at-claim', 'explicit'])
      .optional()
      .meta({ description: 'when effects may start; explicit waits for begin. Default at-claim' }),
    traceId: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .optional(),
  }),
  renew: z.strictObject({ ...owned, leaseMs: leaseMs.optional() }),
  begin: z.strictObject({ ...owned, leaseMs: leaseMs.optional() }),
  complete: z.strictObject({ ...owned, outcome }),
  release: z.strictObject({
    ...owned,
    reason,
    declared: z.boolean().optional().meta({ description: 'you know that nothing was applied although it had begun' }),
  }),
  seal: z.strictObject({ ...owned, reason }),
  resolve: z.strictObject({
    ...address,
    expected: z.strictObject({ state: z.enum(['uncertain', 'quarantined']), token }),
    verdict: z.union([z.strictObject({ applied: z.literal(true), outcome }), z.strictObject({ applied: z.literal(false) })]),
    by: line(100),
    reason,
  }),
  read: z.strictObject(address),
}

const instant = z.iso.datetime()
const done = z.strictObject({ word: z.literal('done'), leaseMs: leaseMs.optional() })

export const answers: { readonly [S in Step]: z.ZodType<StepAnswers[S]> } = {
  claim: z.union([
    z.strictObject({
      word: z.literal('acquired'),
      token,
      attemptId: uuid,
      attempt: z.int().min(1),
      takeover: z.boolean(),
      begun: z.boolean().meta({ description: 'effects count as started, by this attempt or by an earlier one' }),
      leaseMs,
      derivedKey: z
        .string()
        .regex(/^[0-9a-f]{40}$/)
        .meta({ description: 'the key to pass on to another service; the same on each attempt' }),
    }),
    z.strictObject({ word: z.literal('replay'), attempt: z.int().min(1), outcome }),
  ]),
  renew: done,
  begin: done,
  complete: done,
  release: done,
  seal: done,
  resolve: z.strictObject({ word: z.literal('resolved') }),
  read: z.strictObject({
    word: z.literal('found'),
    state: z.enum(['running', 'released', 'uncertain', 'quarantined', 'completed']),
    operation: z.string(),
    policy: z.string(),
    attempt: z.int().min(1),
    begun: z.boolean(),
    token,
    createdAt: instant,
    completedAt: instant.optional(),
    leaseEnd: instant.optional(),
    reason: z.string().optional(),
  }),
}

/** A problem (RFC 9457). */
export const problemSchema: z.ZodType = z.object({
  type: z.url(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  word: z.string().optional().meta({ description: 'the expected answer, as a word' }),
  code: z.string().optional().meta({ description: 'the code of an error, as docs/errors.md lists it' }),
  issues: z.array(z.string()).optional(),
  retryable: z.boolean(),
  same_key: z.boolean(),
  safe_new_key: z.boolean(),
  operation_state: z.string().optional(),
  token: token.optional(),
})
