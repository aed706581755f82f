import type { RequestFacts } from './request-facts.ts'

/** The path and the query of a request's target. Where a framework tells no pattern, the path is the route. */
export function targetFacts(target: string): Pick<RequestFacts, 'route' | 'query'> {
  const queryAt = target.indexOf('?')
  if (queryAt === -1) return { route: target, query: undefined }
  return { route: target.slice(0, queryAt), query: queryAt === target.length - 1 ? undefined : target.slice(queryAt + 1) }
}
