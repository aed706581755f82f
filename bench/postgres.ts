import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './repository.ts'

interface Services {
  startServices(names: readonly string[]): Promise<Record<string, { readonly url?: string; readonly reason?: string }>>
  stopServices(): Promise<void>
}

export interface ReachedPostgres {
  /** Undefined when there is none. */
  readonly url: string | undefined
  readonly reason: string
  stop(): Promise<void>
}

/** The server of `ONCELY_TEST_POSTGRES_URL`, the one that `npm run services start` left running, else one started here. */
export async function reachPostgres(): Promise<ReachedPostgres> {
  const { startServices, stopServices } = (await import(pathToFileURL(join(root, 'scripts/services.mjs')).href)) as Services
  const { postgres } = await startServices(['postgres'])
  return { url: postgres?.url, reason: postgres?.reason ?? '', stop: stopServices }
}
