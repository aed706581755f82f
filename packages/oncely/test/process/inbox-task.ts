import type { Delivery } from '../../src/inbox/index.ts'

/** Which database a consumer's process works on, and how it reads. */
export interface InboxTask {
  readonly url: string
  readonly schema: string
  readonly mode: 'message-id' | 'offset'
}

/** A message on its way from the broker in the test. */
export interface WireMessage {
  readonly id: string
  readonly offset: number
  readonly text: string
}

export type WorkerCommand =
  | { readonly tell: 'assign' }
  | { readonly tell: 'process'; readonly batch: number; readonly messages: readonly WireMessage[] }

export type WorkerSaying =
  | { readonly say: 'ready' }
  | { readonly say: 'inside'; readonly text: string }
  | { readonly say: 'assigned'; readonly next: string }
  | { readonly say: 'answered'; readonly batch: number; readonly words: readonly Delivery[] }
