export {
  type HttpOptions,
  type HttpOutcome,
  type HttpResponse,
  type Principal,
  type ReplyHeaders,
  reject,
  reply,
} from '../../http/index.ts'
export { type CaptureOptions, capture } from './capture.ts'
export type { CallerOptions } from './express-facts.ts'
export { attemptOf, type GuardOptions, guard } from './guard.ts'
export { type HandleOptions, handle } from './handle.ts'
export { wellKnown } from './well-known.ts'
