export { startRelay } from './relay.ts'
export type { WebhookSecret } from './webhook-signature.ts'
export { type WebhookSinkOptions, webhookSink } from './webhook-sink.ts'
