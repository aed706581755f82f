export type { ConsumerHarness, RunningConsumer, SuiteDelivery, SuiteMessage } from './consumer-harness.ts'
export { type ConsumerSuiteOptions, consumerSuite } from './consumer-suite.ts'
export type {
  HttpStoreHarness,
  HttpSuiteOptions,
  SuiteApplication,
  SuiteContext,
  SuiteGuardRoute,
  SuiteHandleRoute,
  SuiteHeaders,
  SuiteMiddleware,
  SuiteRoute,
  SuiteServer,
} from './http-harness.ts'
export { httpSuite } from './http-suite.ts'
export { checkLinearizable, type HistoryOperation, type LinearizabilityVerdict, type SequentialModel } from './linearizability.ts'
export type { LockHarness } from './lock-harness.ts'
export { type LockSuiteOptions, lockSuite } from './lock-suite.ts'
export { ManualClock } from './manual-clock.ts'
export type { OutboxHarness } from './outbox-harness.ts'
export { type OutboxSuiteOptions, outboxSuite } from './outbox-suite.ts'
export type { Skips, TestRunner } from './runner.ts'
export { type StepSuiteOptions, stepSuite } from './step-suite.ts'
export type { StoreHarness, TransactionalHarness } from './store-harness.ts'
export { type StoreSuiteOptions, storeSuite } from './store-suite.ts'
