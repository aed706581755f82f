export { type IdempotentDispatchOptions, idempotentDispatch, type UndiciCall, type UndiciContext } from './idempotent-dispatch.ts'
