// Compiled, never run: what cannot work does not compile.
import { anonymous, createOncely, type StandardSchema } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { sqliteStore } from 'oncely/store/sqlite'

declare const paymentInput: StandardSchema<unknown, { amount: number }>

const plain = createOncely({ namespace: 'types', store: memoryStore() })
const sqlite = createOncely({ namespace: 'types', store: sqliteStore({ path: 'types.db' }) })

// A store without transactions cannot bind to one.
// @ts-expect-error 'transaction' is not a bind of this store
plain.operation('a', { bind: 'transaction' })
// @ts-expect-error there is no default: how an effect is bound is always stated
sqlite.operation('b', {})

const charge = sqlite.operation('charge', { bind: 'transaction', input: paymentInput })
const mail = sqlite.operation('mail', { bind: 'lease' })

export const typed = {
  withTransaction: charge.run({ principal: 'acme', key: 'k', input: { amount: 1 } }, ({ tx, input }) => {
    tx.prepare('select 1').get()
    return input.amount
  }),
  // @ts-expect-error the input has its schema's type
  wrongInput: charge.run({ principal: 'acme', key: 'k', input: { amount: 'one' } }, () => 1),
  // @ts-expect-error the principal is required; anonymous is a value that one writes
  noPrincipal: charge.run({ key: 'k', input: { amount: 1 } }, () => 1),
  anonymous: mail.run({ principal: anonymous, key: 'k', input: {} }, () => 1),
  // @ts-expect-error a lease has no transaction to hand out
  noTransaction: mail.run({ principal: 'acme', key: 'k', input: {} }, ({ tx }) => tx),
}

// The words of the answer are a closed union.
export async function words(): Promise<number> {
  const result = await charge.run({ principal: 'acme', key: 'k', input: { amount: 1 } }, () => 1)
  switch (result.status) {
    case 'done':
    case 'replayed':
      return result.value
    case 'in-progress':
      return result.retryAfterMs
    case 'rejected':
    case 'not-stored':
    case 'mismatch':
    case 'uncertain':
    case 'quarantined':
    case 'expired':
    case 'forbidden':
    case 'unrecorded':
    case 'unprotected':
    case 'unavailable':
      return 0
    default:
      return result satisfies never
  }
}
