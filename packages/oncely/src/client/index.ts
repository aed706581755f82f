export { ClientError, type ClientErrorCode, NoAnswer } from './client-error.ts'
export { deterministicKey, type KeyPart } from './deterministic-key.ts'
export type { Idempotency } from './idempotency.ts'
export {
  type IdempotentFetch,
  type IdempotentFetchOptions,
  type IdempotentRequestInit,
  type IdempotentResponse,
  idempotentFetch,
} from './idempotent-fetch.ts'
export { type KeyStore, type LocalStorageKeysOptions, localStorageKeys, memoryKeys, type StoredKey, type WebStorage } from './key-store.ts'
export type { ClientPlatform } from './platform.ts'
export { publishedRetention } from './published-retention.ts'
export type { RetryOptions } from './retry.ts'
export { timeOrderedKeys } from './time-ordered-keys.ts'
