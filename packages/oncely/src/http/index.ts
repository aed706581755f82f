export type { Answer } from './answer.ts'
export { type CallerOptions, callerFacts } from './caller.ts'
export { captureBody, requestBody } from './capture-body.ts'
export { type CapturedResponse, HandlerAbandoned, ResponseCapture } from './capture-response.ts'
export { answerRequest, executeRequest } from './contract.ts'
export { corsAllowHeaders, corsExposeHeaders, corsHeaders } from './cross-origin.ts'
export { type GuardedRequest, type GuardHttpOptions, GuardRoute, guardRequest } from './guard.ts'
export { attemptOf, keepAttempt } from './guarded-attempt.ts'
export { type HeaderLine, headerValues } from './header-line.ts'
export { decodeNotStored, decodeResponse, encodeNotStored, encodeResponse, type NotStored, type NotStoredReason } from './http-codec.ts'
export type { HttpWork } from './http-work.ts'
export { type IdempotencyKeyOptions, type MalformedKey, type ParsedIdempotencyKey, parseIdempotencyKey } from './idempotency-key.ts'
export type { Delivery, DeliveryReading, MessageSource, SourceMessage } from './message-source.ts'
export { type OpenApiDocument, openApi } from './open-api.ts'
export { defaultProblemBase, type ProblemFacts, type ProblemKind, type ProblemName, problem, problemKinds } from './problem.ts'
export { replayedHeaders } from './replay-header.ts'
export { type ReadBody, readRequestBody } from './request-body.ts'
export { type Principal, type RequestBody, type RequestFacts, traceIdOf } from './request-facts.ts'
export { targetFacts } from './request-target.ts'
export { type HttpResponse, isHttpResponse, type ReplyHeaders, reject, reply } from './response.ts'
export { type HandleOptions, type ReturningRoute, returningRoute } from './returning-route.ts'
export { type ReturningHandler, storedResponse } from './returning-work.ts'
export { type HttpOptions, type HttpOutcome, HttpRoute } from './route.ts'
export { type ReplyObject, rememberHeaders, sendReply } from './send-reply.ts'
export { discardUnread, headerFields, sendAnswer, sendResponse } from './send-response.ts'
export {
  type OperationSpecification,
  type ProblemSpecification,
  type RouteSpecification,
  type Specification,
  specification,
  specificationPath,
} from './specification.ts'
export { readWebBody, webBody, webFacts, webResponse } from './web-message.ts'
