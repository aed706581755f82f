/** Which database a payment process works on. */
export type PaymentDatabase =
  | { readonly kind: 'postgres'; readonly url: string; readonly schema: string }
  | { readonly kind: 'mysql'; readonly url: string }
  | { readonly kind: 'sqlite'; readonly path: string }

export type PaymentTask = { readonly database: PaymentDatabase } & (
  | { readonly task: 'race'; readonly keys: number; readonly racers: number }
  /** Books, and stays inside the handler for ever. */
  | { readonly task: 'hang-in-transaction'; readonly key: string }
  /** A lease of one second; effects have surely not started. */
  | { readonly task: 'hang-before-begin'; readonly key: string }
  /** A lease of one second; effects may have started. */
  | { readonly task: 'hang-after-begin'; readonly key: string }
)

export type PaymentMessage =
  | { readonly say: 'ready' }
  | { readonly say: 'inside' }
  | { readonly say: 'done'; readonly words: Readonly<Record<string, number>> }
