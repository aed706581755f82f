import { StoreUnavailable, TransactionConflict, TransactionDead } from '../core/index.ts'

/** What the database answers to a statement that failed; `kind` is its error code. */
export class SimDatabaseError extends Error {
  readonly kind: 'conflict' | 'dead' | 'gone' | 'refused'

  constructor(kind: SimDatabaseError['kind'], message: string) {
    super(message)
    this.name = 'SimDatabaseError'
    this.kind = kind
  }
}

/** What a failed statement means for a caller of the store. */
export function asStoreError(error: unknown): unknown {
  if (!(error instanceof SimDatabaseError)) return error
  switch (error.kind) {
    case 'conflict':
      return new TransactionConflict('The transaction conflicted with another one.', { cause: error })
    case 'dead':
      return new TransactionDead('An earlier statement failed and its error was swallowed; nothing was committed.', { cause: error })
    case 'gone':
      return new StoreUnavailable('The connection was closed before the commit was sent.', { applied: 'no' }, { cause: error })
    case 'refused':
      return error
    default:
      return error.kind satisfies never
  }
}
