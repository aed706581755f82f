// A process that loads an HTTP server; it runs beside the server, on another core.
import autocannon from 'autocannon'
import { answerParent } from './child.ts'

/** One request of a load; a connection sends them one after the other, again and again. */
export interface LoadRequest {
  readonly method: 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Load {
  readonly url: string
  readonly connections: number
  readonly requests: readonly LoadRequest[]
  /** How long, or how many; not both. */
  readonly seconds?: number
  readonly amount?: number
}

export interface LoadAnswer {
  readonly answered: number
  readonly seconds: number
}

const answers = {
  /** Sends the load; throws when any request was not answered with a status of 200 to 299. */
  load: async ({ url, connections, requests, seconds, amount }: Load): Promise<LoadAnswer> => {
    const length = amount === undefined ? { duration: seconds ?? 1 } : { amount }
    const result = await autocannon({ url, connections, requests, ...length })
    const bad = result.non2xx + result.errors + result.timeouts + result.resets
    if (bad > 0) throw new Error(`${bad} of ${result.requests.total} requests were not answered with 2xx`)
    return { answered: result['2xx'], seconds: result.duration }
  },
}

export type LoadAnswers = typeof answers

answerParent(answers)
