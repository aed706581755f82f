export { type RedlockOptions, redlock } from './redlock.ts'
export type { RedlockClient } from './redlock-node.ts'
