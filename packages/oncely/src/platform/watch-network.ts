import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { NetworkWatch } from '../core/index.ts'

/** Where the network is told of: name of the channel, and what names the other side in its message. */
const channels: Readonly<Record<string, (message: never) => string | undefined>> = {
  'undici:request:create': ({ request }: { request?: { origin?: string | URL } }) => request?.origin && `fetch ${String(request.origin)}`,
  'http.client.request.start': ({ request }: { request?: { host?: string; protocol?: string } }) =>
    request?.host && `${request.protocol ?? 'http:'}//${request.host}`,
  'net.client.socket': () => 'a new socket',
}

const reports = new AsyncLocalStorage<(place: string) => void>()
let subscribed = false

/**
 * Runs a function and reports, once for each place, what of the network it reached for: requests of `fetch` and undici, requests of
 * `node:http`, and new sockets. For development: it costs an asynchronous context and a subscription for the whole process.
 */
export const watchNetwork: NetworkWatch = (run, report) => {
  if (!subscribed) {
    subscribed = true
    for (const [channel, placeOf] of Object.entries(channels)) {
      subscribe(channel, (message) => {
        const tell = reports.getStore()
        const place = tell && placeOf(message as never)
        if (place !== undefined) tell?.(place)
      })
    }
  }
  const seen = new Set<string>()
  return reports.run((place) => {
    if (seen.has(place)) return
    seen.add(place)
    report(place)
  }, run)
}
