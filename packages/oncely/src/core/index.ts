export type { Adopted, AdoptedCall, Adoption } from './adoption.ts'
export {
  type AttemptContext,
  anonymous,
  byPayload,
  type Call,
  type Disposition,
  type Execution,
  type HeldClaim,
  type Work,
} from './attempt.ts'
export {
  type BudgetAnswer,
  type BudgetCounter,
  type BudgetLimits,
  type BudgetOptions,
  type BudgetPlace,
  checkBudget,
  ProcessBudget,
  runningRetryMs,
} from './budget.ts'
export type { Cache, CacheReading } from './cache.ts'
export { canonicalJson, canonicalValue } from './canonical-json.ts'
export type { Cipher } from './cipher.ts'
export { Claims, type RemoteClaim, type RemoteClaimOptions } from './claims.ts'
export { type Clock, sleep, timedOut, withTimeout } from './clock.ts'
export { codecIds, decodeValue, type EncodedValue, encodeRejectedValue, encodeValue, openOutcome, sealOutcome } from './codec.ts'
export { type AdoptedCounts, Operation } from './declared-operation.ts'
export { type Duration, formatDuration, parseDuration } from './duration.ts'
export { Engine } from './engine.ts'
export { contextWith, type EngineParts, type NetworkWatch, type Tell } from './engine-parts.ts'
export type { ErasureReceipt } from './erasure.ts'
export {
  BodyNotCaptured,
  ConfigurationError,
  Draining,
  EffectAmbiguous,
  ForeignTransaction,
  InboxPositionLost,
  InvalidInput,
  isOncelyError,
  KeyInvalid,
  LeaseLost,
  OncelyError,
  type OncelyErrorCode,
  OutboxSealed,
  OutcomeConflict,
  OutcomeCorrupt,
  PrincipalMissing,
  RecordHeld,
  SecretMissing,
  StepHistoryMismatch,
  StepVersionMissing,
  StoreSchemaMismatch,
  StoreTooWeak,
  StoreUnavailable,
  TransactionConflict,
  TransactionDead,
  TransactionEscaped,
  Unsupported,
  ValueNotStorable,
} from './errors.ts'
export type { EventSink, OncelyEvent, OncelyEventType } from './event.ts'
export { andThen, type Eventually } from './eventually.ts'
export {
  FINGERPRINT_VERSION,
  type FingerprintBody,
  type FingerprintFacts,
  type FingerprintSet,
  fingerprint,
  sameFingerprint,
} from './fingerprint.ts'
export type { Forecast, ForecastDay } from './forecast.ts'
export {
  engineCallOf,
  type FunctionCall,
  functionWork,
  type HandlerContext,
  type RunResult,
  runResult,
  validateInput,
} from './function-call.ts'
export type { Hasher } from './hasher.ts'
export { fromHex, toHex } from './hex.ts'
export type {
  AssignedPartition,
  DeadLetter,
  InboxEnd,
  InboxPartition,
  InboxStart,
  InboxState,
  InboxStats,
  InboxStore,
  OffsetStep,
  ParkedLease,
  ParkedMessage,
  PartitionOffset,
  PartitionPosition,
  QuarantineReason,
  ReceivedMessage,
} from './inbox.ts'
export type { BindOf, OncelyOptions, Platform, StartOptions, TxOf } from './instance-options.ts'
export { checkKey, derivedKey, keyHint, recordId } from './key.ts'
export { LeasedLock, type LeasedLockParts } from './leased-lock.ts'
export { heldTombstoneMs, holdParts } from './legal-hold.ts'
export { checkBound, checkLimits, type Limits, limitBounds } from './limits.ts'
export { checkLock, type Lock, type LockCapabilities, type LockProvider, type LockRequest, requireTokens } from './lock.ts'
export { losslessJson } from './lossless-json.ts'
export { type HoldRequest, Oncely } from './oncely.ts'
export type { OperationDefinition, OperationOptions, Phase, Resolver, ResolverRecord, ResolverVerdict } from './operation.ts'
export { expectVersion, type OptimisticOptions, retryOptimistic } from './optimistic.ts'
export {
  type BucketLease,
  type HeldAggregate,
  type Outbox,
  type OutboxAggregate,
  type OutboxDraft,
  type OutboxLeaseRequest,
  type OutboxMessage,
  type OutboxReadRequest,
  type OutboxRow,
  type OutboxSettlement,
  type OutboxSink,
  type OutboxStats,
  type OutboxStore,
  outboxBuckets,
  type ParkedAggregate,
  type Relay,
  type RelayOptions,
  type RelayParts,
  type SinkAnswer,
  type StartRelay,
  type StoredMessage,
} from './outbox.ts'
export { isSinkName, OutboxBuffer, type OutboxBufferParts, outboxRow } from './outbox-buffer.ts'
export { type Outcome, sameBytes, sameOutcome } from './outcome.ts'
export {
  checkPolicyBind,
  definePolicy,
  type Policy,
  type PolicyName,
  type PolicyOptions,
  policyPresets,
  recordPolicy,
  survivesOrder,
} from './policy.ts'
export { clientName, type Prepared, type Secret } from './preparation.ts'
export { type QuarantineCall, type QuarantineWord, quarantineRecord, transactPlainly } from './quarantine.ts'
export type { Random } from './random.ts'
export {
  ageOf,
  type Bind,
  type CompletedRecord,
  compareTokens,
  type FencingToken,
  formatToken,
  type OncelyRecord,
  type OnLostLease,
  type QuarantinedRecord,
  type RecordPolicy,
  type RecordState,
  type ReleasedRecord,
  type RunningRecord,
  type StoredFingerprint,
  type UncertainRecord,
} from './record.ts'
export { isRejection, Rejection } from './rejection.ts'
export type { SqlClosed, SqlEnding, SqlLayer, SqlOpening, SqlRows, SqlValue } from './sql-layer.ts'
export type { StandardResult, StandardSchema } from './standard-schema.ts'
export type { AbandonedRun, SettledPoint, StepHistory, StepIntent, StepKind, StepPoint, StepState, StepStore } from './step.ts'
export {
  type CompleterOptions,
  type EffectCall,
  type EffectLookup,
  type EffectOptions,
  type EffectUndo,
  type ResumableOperation,
  type Step,
  type StepContext,
  type StepHandler,
  type StepOperation,
  type StepRuntime,
  stepsOf,
} from './step-operation.ts'
export type {
  AuditCount,
  ClaimAnswer,
  ClaimFingerprint,
  ClaimRequest,
  CompleteAnswer,
  ErasureBatch,
  Hold,
  HoldTarget,
  OwnerAnswer,
  Ownership,
  RecordSummary,
  ReleaseAnswer,
  RenewAnswer,
  Resolution,
  ResolveAnswer,
  StorageSize,
  StorageUsage,
  Store,
  StoreCapabilities,
  StoreInfo,
  StoreStats,
  Survives,
  SweepAnswer,
  TrailEntry,
} from './store.ts'
export { bounded, insist } from './store-call.ts'
export type { SweepProgress } from './sweeper.ts'
export {
  type Isolation,
  isTransactional,
  type TransactionalStore,
  type TransactionEnd,
  type TransactionErrorMeaning,
  type TransactionOptions,
  type TransactionResult,
  type TransactionScope,
  type TransactionWork,
} from './transaction.ts'
export { type RecordEvent, summarize, type TrailEvent, type Transition, trailEvent, transition } from './transition.ts'
