export {
  type CallerOptions,
  type HandleOptions,
  type HttpOptions,
  type HttpOutcome,
  type HttpResponse,
  type Principal,
  type ReplyHeaders,
  reject,
  reply,
} from '../../http/index.ts'
export { handle, type LambdaHandler } from './handle.ts'
export type { HttpApiEvent, HttpApiResult, LambdaContext, LambdaEvent, LambdaResult, RestApiEvent, RestApiResult } from './lambda-event.ts'
export { wellKnown } from './well-known.ts'
