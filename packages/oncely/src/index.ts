import { hostname } from 'node:os'
import { Oncely, type OncelyOptions, type Store, type TxOf } from './core/index.ts'
import { nodeClock, nodeHasher, nodeRandom } from './platform/index.ts'

/**
 * Makes an instance: one namespace over one store. Opens nothing and starts no timer; the first call does, or `start()`.
 *
 * @throws ConfigurationError when an option is missing, out of its range or unsafe.
 */
export function createOncely<S extends Store>(options: OncelyOptions<S>): Oncely<TxOf<S>> {
  const owner = options.owner ?? `${hostname()}:${process.pid}`
  return new Oncely<TxOf<S>>({ clock: nodeClock, random: nodeRandom, hasher: nodeHasher }, { ...options, owner })
}

export {
  type AttemptContext,
  anonymous,
  type Bind,
  BodyNotCaptured,
  ConfigurationError,
  Draining,
  type Duration,
  type EventSink,
  type FencingToken,
  ForeignTransaction,
  type FunctionCall,
  type HandlerContext,
  InvalidInput,
  isOncelyError,
  KeyInvalid,
  LeaseLost,
  type Limits,
  type Lock,
  type LockProvider,
  type LockRequest,
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
  OutcomeConflict,
  OutcomeCorrupt,
  type Phase,
  type Policy,
  type PolicyName,
  type PolicyOptions,
  PrincipalMissing,
  Rejection,
  type Resolver,
  type ResolverRecord,
  type ResolverVerdict,
  type RunResult,
  type StandardSchema,
  type StartOptions,
  type Store,
  StoreSchemaMismatch,
  StoreTooWeak,
  StoreUnavailable,
  type Survives,
  type TransactionalStore,
  TransactionConflict,
  TransactionDead,
  TransactionEscaped,
  Unsupported,
  ValueNotStorable,
} from './core/index.ts'
