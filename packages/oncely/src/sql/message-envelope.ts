import type { ReceivedMessage } from '../core/index.ts'

/** Everything of a message but its payload, as a store keeps it. */
export function envelopeOf(message: ReceivedMessage): string {
  const { payload: _, offset, ...rest } = message
  return JSON.stringify(offset === undefined ? rest : { ...rest, offset: String(offset) })
}

/** The message that `envelopeOf` and its payload were kept of. */
export function messageOf(envelope: string, payload: Uint8Array): ReceivedMessage {
  const { offset, ...rest } = JSON.parse(envelope) as Omit<ReceivedMessage, 'payload' | 'offset'> & { readonly offset?: string }
  return offset === undefined ? { ...rest, payload } : { ...rest, payload, offset: BigInt(offset) }
}
