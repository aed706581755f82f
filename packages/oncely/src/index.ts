import { hostname } from 'node:os'
import {
  Oncely,
  type OncelyOptions,
  type OptimisticOptions,
  type Relay,
  type RelayParts,
  retryOptimistic,
  type Store,
  type TxOf,
} from './core/index.ts'
import { nodeCipher, nodeClock, nodeHasher, nodeRandom, watchNetwork } from './platform/index.ts'
import { stepRuntime } from './step/index.ts'

/**
 * Makes an instance: one namespace over one store. Opens nothing and starts no timer; the first call does, or `start()`.
 *
 * @throws ConfigurationError when an option is missing, out of its range or unsafe.
 */
export function createOncely<S extends Store>(options: OncelyOptions<S>): Oncely<TxOf<S>> {
  const owner = options.owner ?? `${hostname()}:${process.pid}`
  return new Oncely<TxOf<S>>(
    { clock: nodeClock, random: nodeRandom, hasher: nodeHasher, cipher: nodeCipher, startRelay, steps: stepRuntime, watchNetwork },
    { ...options, owner },
  )
}

/** Loaded when a relay is started, as few processes run one. */
async function startRelay(parts: RelayParts): Promise<Relay> {
  return (await import('./outbox/index.ts')).startRelay(parts)
}

/**
 * Runs a whole transaction again when somebody else changed its rows meanwhile: it throws `TransactionConflict` (`expectVersion` does),
 * or an error that `isConflict` names. Each attempt must read again what it decides on, and must do nothing outside its transaction.
 *
 * @param transaction opens, commits or rolls back by itself; gets the number of the attempt, from 1.
 * @throws the error of the last attempt after `attemptsMax`, and every other error at once.
 *
 * @example
 * await optimistic(() => db.transaction(async (tx) => {
 *   const { balance, version } = await read(tx, id)
 *   const { rowCount } = await tx.query(
 *     'UPDATE account SET balance = $1, version = version + 1 WHERE id = $2 AND version = $3', [balance - 10, id, version])
 *   expectVersion(rowCount)
 * }))
 */
export function optimistic<R>(transaction: (attempt: number) => Promise<R>, options: OptimisticOptions = {}): Promise<R> {
  return retryOptimistic({ clock: nodeClock, random: nodeRandom }, transaction, options)
}

export {
  type Adopted,
  type AdoptedCall,
  type AdoptedCounts,
  type Adoption,
  type AttemptContext,
  anonymous,
  type Bind,
  BodyNotCaptured,
  type BudgetCounter,
  type BudgetOptions,
  byPayload,
  type Cache,
  Claims,
  type CompleterOptions,
  ConfigurationError,
  Draining,
  type Duration,
  EffectAmbiguous,
  type EffectCall,
  type EffectLookup,
  type EffectOptions,
  type EffectUndo,
  type ErasureReceipt,
  type EventSink,
  expectVersion,
  type FencingToken,
  type Forecast,
  type ForecastDay,
  ForeignTransaction,
  type FunctionCall,
  type HandlerContext,
  type Hold,
  type HoldRequest,
  InboxPositionLost,
  InvalidInput,
  isOncelyError,
  KeyInvalid,
  LeaseLost,
  type Limits,
  type Lock,
  type LockProvider,
  type LockRequest,
  losslessJson,
  Oncely,
  OncelyError,
  type OncelyErrorCode,
  type OncelyEvent,
  type OncelyEventType,
  type OncelyOptions,
  type OncelyRecord,
  Operation,
  type OperationDefinition,
  type OperationOptions,
  type OptimisticOptions,
  type Outbox,
  type OutboxDraft,
  type OutboxMessage,
  OutboxSealed,
  type OutboxSink,
  OutcomeConflict,
  OutcomeCorrupt,
  type Ownership,
  type Phase,
  type Policy,
  type PolicyName,
  type PolicyOptions,
  PrincipalMissing,
  RecordHeld,
  Rejection,
  type RelayOptions,
  type RemoteClaim,
  type RemoteClaimOptions,
  type Resolver,
  type ResolverRecord,
  type ResolverVerdict,
  type RunResult,
  requireTokens,
  SecretMissing,
  type SinkAnswer,
  type StandardSchema,
  type StartOptions,
  type Step,
  type StepContext,
  type StepHandler,
  StepHistoryMismatch,
  type StepOperation,
  StepVersionMissing,
  type Store,
  StoreSchemaMismatch,
  StoreTooWeak,
  StoreUnavailable,
  type Survives,
  type SweepProgress,
  type TransactionalStore,
  TransactionConflict,
  TransactionDead,
  TransactionEscaped,
  Unsupported,
  ValueNotStorable,
} from './core/index.ts'
export { EffectFailureReplayed, EffectNotApplied } from './step/index.ts'
