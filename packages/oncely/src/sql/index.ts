export { callbackTransaction } from './callback-transaction.ts'
export { Dictionary, type DictionaryIds } from './dictionary.ts'
export { errorChain } from './error-chain.ts'
export { inboxStatsRow, letterRow, offsetRow, parkedRow, stateRow } from './inbox-row.ts'
export { envelopeOf } from './message-envelope.ts'
export {
  type AppliedMigration,
  appliedMigrations,
  checksumOf,
  type Migration,
  migrationsFrom,
  missingMigrations,
} from './migration-journal.ts'
export { outboxStats, parkedAggregate, storedMessage } from './outbox-row.ts'
export {
  answerOf,
  bindCodes,
  type ClaimLine,
  claimLine,
  holdRow,
  numberOf,
  onlyRow,
  type Row,
  recordRow,
  stateCodes,
  textOf,
  trailRows,
} from './row.ts'
export { abandonedRun, startPath, stepHistory, stepKindCodes, stepStateCodes } from './step-row.ts'
