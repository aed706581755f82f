import type { RecordSummary } from '../core/index.ts'
import type { Principal, RequestFacts } from './request-facts.ts'

/** Who calls a route, told from what the framework hands to its handlers. */
export interface CallerOptions<Request> {
  /**
   * The verified caller, stable over credential rotation (an account id, not a token), or `anonymous` where every caller may
   * share keys. Called for requests with a key, after the route's own authentication.
   */
  principal(request: Request): Principal | Promise<Principal>
  /** Who acts for the principal; with `replayTo: 'actor'` nobody else gets the replay. */
  actor?(request: Request): string | undefined
  /** Asked again before every replay; false answers 403. */
  authorizeReplay?(request: Request, record: RecordSummary): boolean | Promise<boolean>
}

/** The caller's part of a request's facts. */
export function callerFacts<Request>(
  caller: CallerOptions<Request>,
  request: Request,
): Pick<RequestFacts, 'principal' | 'actor' | 'authorizeReplay'> {
  const { authorizeReplay } = caller
  return {
    principal: () => caller.principal(request),
    actor: () => caller.actor?.(request),
    authorizeReplay: authorizeReplay === undefined ? undefined : (record) => authorizeReplay.call(caller, request, record),
  }
}
