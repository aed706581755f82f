export {
  attemptOf,
  type CallerOptions,
  type HandleOptions,
  type HttpOptions,
  type HttpOutcome,
  type HttpResponse,
  type Principal,
  type ReplyHeaders,
  type ReplyObject,
  reject,
  reply,
} from '../../http/index.ts'
export { type CaptureOptions, capture } from './capture.ts'
export { type GuardOptions, guard } from './guard.ts'
export { handle } from './handle.ts'
export type { NestRequest, NestResponse } from './nest-facts.ts'
export { wellKnown } from './well-known.ts'
