// The code of docs/recipes.md, which shows these functions and constants word for word.
import { type Oncely, type Operation, Rejection, type RunResult } from 'oncely'
import { handle, reply } from 'oncely/adapter/fetch'

export interface Payment {
  readonly id: string
  readonly amount: number
}

export interface PaymentInput {
  readonly amount: number
}

export type CreatePayment = Operation<PaymentInput, Payment, never, 'lease'>

/** What the recipes do for a living; tests count its calls. */
export type Charge = (input: PaymentInput) => Promise<Payment>

export function declare(oncely: Oncely<never>): CreatePayment {
  return oncely.operation<PaymentInput, Payment>('create-payment', {
    policy: ['standard', { survives: 'nothing' }],
    bind: 'lease',
  })
}

export interface Refusal {
  readonly code: string
  readonly retryable: boolean
  readonly retryAfterMs?: number
}

export function settled<Output>(result: RunResult<Output>): { readonly value: Output } | { readonly refusal: Refusal } {
  switch (result.status) {
    case 'done':
    case 'replayed':
    case 'unprotected':
      return { value: result.value }
    case 'unrecorded':
      if (result.value !== undefined) return { value: result.value }
      return { refusal: { code: 'unrecorded', retryable: true, retryAfterMs: result.retryAfterMs } }
    case 'in-progress':
    case 'unavailable':
      return { refusal: { code: result.status, retryable: true, retryAfterMs: result.retryAfterMs } }
    case 'rejected':
    case 'mismatch':
    case 'uncertain':
    case 'quarantined':
    case 'expired':
    case 'not-stored':
    case 'forbidden':
      return { refusal: { code: result.status, retryable: false } }
    default:
      return result satisfies never
  }
}

export function graphqlResolvers(createPayment: CreatePayment, charge: Charge) {
  return {
    Mutation: {
      createPayment: async (
        _parent: unknown,
        { idempotencyKey, input }: { readonly idempotencyKey: string; readonly input: PaymentInput },
        { accountId }: { readonly accountId: string },
      ) => {
        const result = settled(await createPayment.run({ principal: accountId, key: idempotencyKey, input }, ({ input }) => charge(input)))
        return 'value' in result
          ? { __typename: 'Payment' as const, ...result.value }
          : { __typename: 'Refusal' as const, ...result.refusal }
      },
    },
  }
}

export const trpcCodes = {
  rejected: 'UNPROCESSABLE_CONTENT',
  mismatch: 'UNPROCESSABLE_CONTENT',
  'in-progress': 'CONFLICT',
  uncertain: 'CONFLICT',
  quarantined: 'CONFLICT',
  'not-stored': 'CONFLICT',
  expired: 'PRECONDITION_FAILED',
  forbidden: 'FORBIDDEN',
  unrecorded: 'SERVICE_UNAVAILABLE',
  unavailable: 'SERVICE_UNAVAILABLE',
} as const

export const grpcCodes = {
  rejected: 9, // FAILED_PRECONDITION
  mismatch: 3, // INVALID_ARGUMENT
  'in-progress': 14, // UNAVAILABLE: the same call, with the same key, can succeed
  uncertain: 9,
  quarantined: 9,
  'not-stored': 9,
  expired: 9,
  forbidden: 7, // PERMISSION_DENIED
  unrecorded: 14,
  unavailable: 14,
} as const

export function nextRoute(createPayment: CreatePayment, charge: Charge, accountOf: (request: Request) => string) {
  const POST = handle(createPayment, { principal: accountOf }, async ({ input }) => reply(201, await charge(input)))
  return { POST }
}

export function serverAction(createPayment: CreatePayment, charge: Charge, session: () => Promise<{ readonly accountId: string }>) {
  return async (form: FormData) => {
    'use server'
    const { accountId } = await session()
    const input = { amount: Number(form.get('amount')) }
    const key = String(form.get('idempotency-key'))
    return settled(await createPayment.run({ principal: accountId, key, input }, ({ input }) => charge(input)))
  }
}

export async function payBatch(
  createPayment: CreatePayment,
  charge: Charge,
  principal: string,
  items: readonly { readonly key: string; readonly input: PaymentInput }[],
) {
  const answers = new Array<{ readonly value: Payment } | { readonly refusal: Refusal }>(items.length)
  const sorted = items.map((item, at) => ({ ...item, at })).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.at - b.at))
  for (const { key, input, at } of sorted) {
    answers[at] = settled(await createPayment.run({ principal, key, input }, ({ input }) => charge(input)))
  }
  return answers
}

export const declined = (): Rejection => new Rejection({ code: 'declined' })
