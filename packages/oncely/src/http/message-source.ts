import type { Hasher } from '../core/index.ts'
import type { HttpResponse } from './response.ts'

/** Where requests bring signed messages with ids of their own instead of an `Idempotency-Key`: a webhook's sender. */
export interface MessageSource {
  /** Stands for method, route and query in the fingerprint: a message is the same wherever and however it is delivered. */
  readonly name: string
  /** Proves that a request is the sender's and finds its messages. Called before any claim; asks no store. */
  read(delivery: Delivery): DeliveryReading
  /** What the sender wants to hear when every message is settled. Default: the answer of the last message. */
  readonly acknowledgement?: HttpResponse
}

/** One request of a sender, as bytes. */
export interface Delivery {
  /** Names and values in turn. */
  readonly headers: readonly string[]
  /** The body as it came over the wire. */
  readonly bytes: Uint8Array
  readonly nowMs: number
  readonly hasher: Hasher
}

export type DeliveryReading =
  | { readonly kind: 'messages'; readonly messages: readonly SourceMessage[] }
  /** Not proven to be the sender's: nobody's key is used up. */
  | { readonly kind: 'unsigned'; readonly reason: string }
  /** The sender's, and without the parts that it must have. */
  | { readonly kind: 'malformed'; readonly reason: string }

/** One message of a delivery. The sender's id is its identity; its bytes may differ between deliveries. */
export interface SourceMessage {
  readonly principal: string
  /** The sender's own id of what happened. */
  readonly key: string
  /** What the operation's schema validates and the handler gets as `input`. */
  readonly input: unknown
}
