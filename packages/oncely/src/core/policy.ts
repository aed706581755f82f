import { type Duration, formatDuration, parseDuration } from './duration.ts'
import { ConfigurationError } from './errors.ts'
import type { Bind, OnLostLease, RecordPolicy } from './record.ts'
import type { Survives } from './store.ts'

/**
 * The trade-off between strictness and availability, written down per operation. Three presets; every number can be changed,
 * and what does not add up is refused when the operation is declared.
 */
export interface Policy {
  readonly name: string
  /** How long an outcome is replayed, from completion. A floor: nothing removes it earlier. */
  readonly retentionMs: number
  /** How long the key stays used after that, answering `expired`; counted from completion too. */
  readonly tombstoneMs: number
  /** How long a claim holds without a renewal. */
  readonly leaseMs: number
  /** Claims a record may have before it is quarantined. */
  readonly attemptsMax: number
  /** The longest time after its attempt in which an outside effect can still arrive. */
  readonly effectTimeoutMs: number
  /** What a claim does with a record whose lease ended after effects may have started. */
  readonly onLostLease: OnLostLease
  /** `closed`: nobody runs while the store cannot be asked. `open`: the handler runs unprotected, and is counted. */
  readonly onStoreDown: 'closed' | 'open'
  /** The effect happened but storing its outcome failed: `withhold` the answer (same key), or `answer` it marked unrecorded. */
  readonly onUnrecorded: 'withhold' | 'answer'
  readonly onConcurrent: 'reject' | 'wait'
  /** Longest wait of a duplicate where `onConcurrent` is `wait`. */
  readonly waitMs: number
  /** Whether a replay needs the same actor, or any actor of the same principal. */
  readonly replayTo: 'actor' | 'principal'
  /** What the store must survive at least. */
  readonly survives: Survives
  /** The parts of the longest way a duplicate can take; retention must cover their sum. */
  readonly retryHorizonMs: number
  readonly backoffCeilingMs: number
  readonly partitionRecoveryMs: number
  readonly brokerRedeliveryMs: number
}

export type PolicyName = 'financial' | 'standard' | 'telemetry'

/** What a caller may change: every duration also as `'24h'`, without the `Ms`. */
export interface PolicyOptions {
  readonly retention?: Duration
  readonly tombstone?: Duration
  readonly lease?: Duration
  readonly attemptsMax?: number
  readonly effectTimeout?: Duration
  readonly onLostLease?: OnLostLease
  readonly onStoreDown?: Policy['onStoreDown']
  readonly onUnrecorded?: Policy['onUnrecorded']
  readonly onConcurrent?: Policy['onConcurrent']
  readonly wait?: Duration
  readonly replayTo?: Policy['replayTo']
  readonly survives?: Survives
  readonly retryHorizon?: Duration
  readonly backoffCeiling?: Duration
  readonly partitionRecovery?: Duration
  readonly brokerRedelivery?: Duration
}

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

const standard: Policy = {
  name: 'standard',
  retentionMs: 24 * hour,
  tombstoneMs: 72 * hour,
  leaseMs: 30_000,
  attemptsMax: 100,
  effectTimeoutMs: 30_000,
  onLostLease: 'uncertain',
  onStoreDown: 'closed',
  onUnrecorded: 'answer',
  onConcurrent: 'reject',
  waitMs: 5_000,
  replayTo: 'principal',
  survives: 'restart',
  retryHorizonMs: 12 * hour,
  backoffCeilingMs: hour,
  partitionRecoveryMs: 4 * hour,
  brokerRedeliveryMs: 4 * hour,
}

/** The three presets, whole. */
export const policyPresets: Readonly<Record<PolicyName, Policy>> = {
  financial: {
    ...standard,
    name: 'financial',
    retentionMs: 30 * day,
    tombstoneMs: 90 * day,
    onUnrecorded: 'withhold',
    replayTo: 'actor',
    survives: 'power',
    retryHorizonMs: 7 * day,
    backoffCeilingMs: day,
    partitionRecoveryMs: 7 * day,
    brokerRedeliveryMs: 7 * day,
  },
  standard,
  telemetry: {
    ...standard,
    name: 'telemetry',
    retentionMs: hour,
    tombstoneMs: hour,
    onLostLease: 'takeover',
    onStoreDown: 'open',
    survives: 'nothing',
    retryHorizonMs: 15 * minute,
    backoffCeilingMs: 5 * minute,
    partitionRecoveryMs: 15 * minute,
    brokerRedeliveryMs: 15 * minute,
  },
}

/** From weakest to strongest. */
export const survivesOrder: readonly Survives[] = ['nothing', 'restart', 'power', 'failover']

/** The preset with the caller's own values in their place; refuses an unknown preset and what does not add up. */
export function definePolicy(preset: string, options: PolicyOptions = {}): Policy {
  const found = Object.hasOwn(policyPresets, preset) ? policyPresets[preset as PolicyName] : undefined
  if (found === undefined) {
    throw new ConfigurationError(`Policy ${JSON.stringify(preset)} is unknown; the presets are ${Object.keys(policyPresets).join(', ')}.`)
  }
  const changed = Object.keys(options).length > 0
  const own: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    if (!Object.hasOwn(optionTargets, name))
      throw new ConfigurationError(`policy.${name} is not an option; the options are ${Object.keys(optionTargets).join(', ')}.`)
    const target = optionTargets[name as keyof PolicyOptions]
    own[target] = target.endsWith('Ms')
      ? parseDuration(`policy.${name}`, value as Duration)
      : checkChoice(name as keyof PolicyOptions, value)
  }
  const policy = { ...found, ...own, name: changed ? `${found.name}*` : found.name } as Policy
  checkPolicy(policy)
  return policy
}

const optionTargets: Readonly<Record<keyof PolicyOptions, keyof Policy>> = {
  retention: 'retentionMs',
  tombstone: 'tombstoneMs',
  lease: 'leaseMs',
  attemptsMax: 'attemptsMax',
  effectTimeout: 'effectTimeoutMs',
  onLostLease: 'onLostLease',
  onStoreDown: 'onStoreDown',
  onUnrecorded: 'onUnrecorded',
  onConcurrent: 'onConcurrent',
  wait: 'waitMs',
  replayTo: 'replayTo',
  survives: 'survives',
  retryHorizon: 'retryHorizonMs',
  backoffCeiling: 'backoffCeilingMs',
  partitionRecovery: 'partitionRecoveryMs',
  brokerRedelivery: 'brokerRedeliveryMs',
}

const choices: Readonly<Partial<Record<keyof PolicyOptions, readonly string[]>>> = {
  onLostLease: ['uncertain', 'takeover'],
  onStoreDown: ['closed', 'open'],
  onUnrecorded: ['withhold', 'answer'],
  onConcurrent: ['reject', 'wait'],
  replayTo: ['actor', 'principal'],
  survives: survivesOrder,
}

function checkChoice(name: keyof PolicyOptions, value: unknown): unknown {
  const allowed = choices[name]
  if (allowed !== undefined && !allowed.includes(value as string)) {
    throw new ConfigurationError(`policy.${name} is ${JSON.stringify(value)}; it must be one of ${allowed.join(', ')}.`)
  }
  if (name === 'attemptsMax' && !(Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 30_000)) {
    throw new ConfigurationError(`policy.attemptsMax is ${String(value)}; it must be a whole number from 1 to 30000.`)
  }
  return value
}

function checkPolicy(policy: Policy): void {
  if (policy.leaseMs < 1_000)
    throw new ConfigurationError(
      `policy.lease is ${formatDuration(policy.leaseMs)}, below the least of 1s: a renewal could not arrive in time. Raise it.`,
    )
  if (policy.leaseMs >= policy.retentionMs) {
    throw new ConfigurationError(
      `policy.lease is ${formatDuration(policy.leaseMs)}, not below policy.retention ${formatDuration(policy.retentionMs)}: an outcome could expire while its attempt still runs. Lower the lease or raise the retention.`,
    )
  }
  if (policy.tombstoneMs < policy.retentionMs) {
    throw new ConfigurationError(
      `policy.tombstone is ${formatDuration(policy.tombstoneMs)}, below policy.retention ${formatDuration(policy.retentionMs)}; both count from completion, so raise the tombstone to at least the retention.`,
    )
  }
  const parts = [
    ['retryHorizon', policy.retryHorizonMs],
    ['backoffCeiling', policy.backoffCeilingMs],
    ['partitionRecovery', policy.partitionRecoveryMs],
    ['brokerRedelivery', policy.brokerRedeliveryMs],
  ] as const
  const neededMs = parts.reduce((sum, [, ms]) => sum + ms, 0)
  if (policy.retentionMs < neededMs) {
    const sum = parts.map(([name, ms]) => `${name} ${formatDuration(ms)}`).join(' + ')
    throw new ConfigurationError(
      `policy.retention is ${formatDuration(policy.retentionMs)}, below the ${formatDuration(neededMs)} that a duplicate can take (${sum}): a late retry would run again. Raise the retention or lower a part.`,
    )
  }
}

/** Refuses a policy that cannot keep its promise with this bind. */
export function checkPolicyBind(operation: string, policy: Policy, bind: Bind, rerunnable: boolean): void {
  if (bind !== 'lease' && policy.onStoreDown === 'open') {
    throw new ConfigurationError(
      `Operation "${operation}": onStoreDown "open" needs bind "lease"; with bind "${bind}" the store is the database that the effect is written to.`,
    )
  }
  if (bind !== 'lease' && rerunnable)
    throw new ConfigurationError(
      `Operation "${operation}": rerunnable is for bind "lease"; bind "${bind}" never leaves a begun attempt behind.`,
    )
  if (policy.name.startsWith('financial') && policy.onLostLease === 'takeover' && !rerunnable) {
    throw new ConfigurationError(
      `Operation "${operation}": policy "financial" with onLostLease "takeover" would repeat a payment after a crash. Keep "uncertain", or declare rerunnable: true and say in the handler why a repeat is safe.`,
    )
  }
}

/** The part of a policy that a record keeps. */
export function recordPolicy(policy: Policy): RecordPolicy {
  const { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs } = policy
  return { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs }
}
