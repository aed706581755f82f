import { StoreTooWeak } from './errors.ts'
import { type Policy, survivesOrder } from './policy.ts'
import type { StoreInfo } from './store.ts'

/** Refuses a store that survives less than the operation's policy needs. */
export function checkSurvives(operation: string, policy: Policy, store: string, info: StoreInfo): void {
  if (survivesOrder.indexOf(info.survives) >= survivesOrder.indexOf(policy.survives)) return
  throw new StoreTooWeak(
    `Operation "${operation}": policy "${policy.name}" needs a store that survives ${policy.survives}, and ${store} survives ${info.survives}, because ${info.survivesBecause}. Use a stronger store, or say survives: '${info.survives}' in the policy.`,
  )
}
