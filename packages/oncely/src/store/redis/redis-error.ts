import { StoreUnavailable } from '../../core/index.ts'

/**
 * Replies that would have been the same for an earlier sending. Clients send again what they heard no answer to, so any other
 * refusal (OOM, READONLY, LOADING…) may answer the second sending of a step that happened at the first.
 */
const refused: ReadonlySet<string> = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM', 'CROSSSLOT'])

/** The client refused to send it at all. */
const neverSent = /^ClientClosedError|^ClientOfflineError|enableOfflineQueue options is false/

/** The first word of an error reply, such as `NOSCRIPT`; empty for an error that is none of the server's. */
export function replyCode(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  return /^([A-Z]{2,}[A-Z0-9]*)(?=[ :])/.exec(message)?.[1] ?? ''
}

/** Every failure of a call, in the words of the port. */
export function storeError(error: unknown, what: string): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error
  const code = replyCode(error)
  const described = error instanceof Error ? `${error.constructor.name}: ${error.message}` : ''
  const applied = refused.has(code) || neverSent.test(described) ? 'no' : 'unknown'
  return new StoreUnavailable(
    `Redis ${code === '' ? 'did not answer' : 'refused'} ${what}${code === '' || code === 'ERR' ? '' : ` (${code})`}; ${hints[code] ?? 'look at the connection and at the server'}.`,
    { applied },
    { cause: error },
  )
}

const hints: Readonly<Record<string, string>> = {
  OOM: 'it is at its maxmemory and evicts nothing: give it memory, or sweep',
  READONLY: 'the client is connected to a replica',
  NOPERM: 'the user needs the commands that docs/store-guarantees.md names',
  NOREPLICAS: 'min-replicas-to-write is not met',
  MISCONF: 'it cannot write to its disk',
}
