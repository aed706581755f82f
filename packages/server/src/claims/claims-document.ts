import { z } from 'zod'
import { answers, problemSchema, requests, type Step } from './claim-schema.ts'

/** Where the document is served. */
export const documentPath = '/v1/openapi.json'

/** Where a step is sent. */
export function stepPath(step: Step): string {
  return step === 'claim' ? '/v1/claims' : `/v1/claims/${step}`
}

interface StepText {
  readonly summary: string
  /** The statuses of its own, besides those of every step. */
  readonly good: Readonly<Record<number, string>>
  readonly problems: Readonly<Record<number, string>>
}

const lost = 'lease-lost: another attempt holds the key, or it has ended; nothing was written'

const texts: Readonly<Record<Step, StepText>> = {
  claim: {
    summary: 'Asks whether this attempt may run',
    good: { 200: 'replay: it was done before; here is its outcome', 201: 'acquired: run, and settle it before the lease ends' },
    problems: {
      403: 'replay-forbidden: the answer is for another actor',
      409: 'in-progress, uncertain or quarantined: do not run',
      410: 'expired: it was done, and its outcome is no longer kept',
      422: 'mismatch: the key stands for another operation or payload',
    },
  },
  renew: { summary: 'Prolongs the lease', good: { 200: 'done' }, problems: { 409: lost } },
  begin: { summary: 'Says that effects may start, before the first one', good: { 200: 'done' }, problems: { 409: lost } },
  complete: {
    summary: 'Stores the outcome that retries get',
    good: { 200: 'done' },
    problems: { 409: `${lost}; or outcome-conflict: another outcome stands` },
  },
  release: {
    summary: 'Frees the key: nothing was applied',
    good: { 200: 'done' },
    problems: { 409: `${lost}; or begun: effects may have started` },
  },
  seal: { summary: 'Says that it may have been applied', good: { 200: 'done' }, problems: { 409: lost } },
  resolve: {
    summary: 'Decides an uncertain or quarantined record',
    good: { 200: 'resolved' },
    problems: { 404: 'absent', 409: 'changed: it is not as you expect; or early: an effect can still arrive' },
  },
  read: { summary: 'Tells the state of a key, and never its outcome', good: { 200: 'found' }, problems: { 404: 'absent' } },
}

const every: Readonly<Record<number, string>> = {
  400: 'the request does not fit',
  401: 'the caller is not known',
  413: 'the body is too large',
  415: 'the body is no JSON',
  429: 'too many requests of this caller',
  500: 'the API failed',
  503: 'the store, or what verifies the caller, cannot be reached',
}

/** The OpenAPI 3.1 document, from the schemas that validate. */
export function claimsDocument(): object {
  const names = Object.keys(requests) as Step[]
  const schemas: Record<string, unknown> = { Problem: schemaOf(problemSchema, 'output') }
  const paths: Record<string, unknown> = {}
  for (const step of names) {
    const name = step[0]?.toUpperCase() + step.slice(1)
    schemas[`${name}Request`] = schemaOf(requests[step], 'input')
    schemas[`${name}Answer`] = schemaOf(answers[step], 'output')
    paths[stepPath(step)] = { post: operation(step, name) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'oncely claims',
      version: '1',
      description: 'Idempotency for services in any language: ask before you run, settle after. Keys never stand in a URL.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'an API key or a JSON Web Token, as the server is set up' },
      },
      schemas,
    },
  }
}

function operation(step: Step, name: string): object {
  const { summary, good, problems } = texts[step]
  const responses: Record<string, unknown> = {}
  for (const [status, description] of Object.entries(good))
    responses[status] = { description, content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}Answer` } } } }
  for (const [status, description] of Object.entries({ ...every, ...problems })) {
    const retryAfter = { 'retry-after': { description: 'seconds', schema: { type: 'integer', minimum: 1 } } }
    responses[status] = {
      description,
      ...(['409', '429', '500', '503'].includes(status) ? { headers: retryAfter } : {}),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    }
  }
  const body = { required: true, content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}Request` } } } }
  return { operationId: step, summary, requestBody: body, responses }
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io })
  return rest
}
