import type { Adoption } from './adoption.ts'
import type { Duration } from './duration.ts'
import { ConfigurationError } from './errors.ts'
import { jsonExclusions } from './json-exclusion.ts'
import { checkPolicyBind, definePolicy, type Policy, type PolicyName, type PolicyOptions } from './policy.ts'
import type { Bind } from './record.ts'
import type { StandardSchema } from './standard-schema.ts'
import type { Isolation } from './transaction.ts'

/** How far an operation has adopted the layer: only watched, protected where a key is sent, or refused without one. */
export type Phase = 'observe' | 'optional' | 'enforce'

/** What a caller declares once for an operation. Everything has a default; `oncely policy` prints them. */
export interface OperationOptions<Input, Output, B extends Bind = Bind> {
  /** The preset, or a preset with numbers of one's own: `['financial', { lease: '1m' }]`. Default `standard`. */
  readonly policy?: PolicyName | readonly [PolicyName, PolicyOptions]
  /** What the record commits with; always stated, never guessed. */
  readonly bind: B
  /** Types and validates the input (any Standard Schema). */
  readonly input?: StandardSchema<unknown, Input>
  /** Types the value that the handler returns. */
  readonly output?: StandardSchema<Output>
  /** Default: the instance's. */
  readonly phase?: Phase
  /** `key`: one key belongs to one operation, its use on another is a mismatch. `operation`: each operation has keys of its own. */
  readonly keyspace?: 'key' | 'operation'
  /**
   * Calls without a key of their own are told apart by their payload: an identical one within the window, counted from completion, is
   * a duplicate. Two equal orders of one customer are one then, so it is refused for `financial`. The window is the retention.
   */
  readonly payloadKey?: { readonly window: Duration }
  /** Lease: when effects may start. `at-claim` (default) needs no call; `explicit` needs `await begin()` before the first effect. */
  readonly begin?: 'at-claim' | 'explicit'
  /** Steps: which of the defined handlers new operations begin under, 1 to 2147483647. Raise it with every change of the steps. Default 1. */
  readonly version?: number
  /** Lease: a begun attempt may be repeated after a crash. Default false. */
  readonly rerunnable?: boolean
  /** Transaction: how often the handler is called again after a serialization failure or deadlock. Default 3. */
  readonly retryTransaction?: number
  readonly isolation?: Isolation
  /** Members of a JSON body that do not count for the fingerprint, as JSON pointers. */
  readonly exclude?: readonly string[]
  /** The answer may be given once only (one-time secrets): a retry learns that the outcome was not stored. */
  readonly store?: 'outcome' | 'nothing'
  /** The stored outcome is encrypted (AES-256-GCM) under the newest of the instance's secrets. Default: the instance's. */
  readonly encrypt?: boolean
  /**
   * What is stored in place of the value, or of what the handler rejected with: the first caller gets the whole, a replay the
   * redacted one. On an HTTP route it gets and returns the response.
   */
  readonly redact?: (value: Output) => Output
  /** Takes over from an idempotency table of your own. */
  readonly adopt?: Adoption<Output>
  /** Looks up, in the world outside, whether an uncertain attempt took effect. Runs on the next retry, one caller at a time. */
  readonly resolver?: Resolver<Output>
}

/** Answers what became of an uncertain attempt. It must only read. */
export type Resolver<Output> = (record: ResolverRecord) => Promise<ResolverVerdict<Output>>

export type ResolverVerdict<Output> =
  | { readonly verdict: 'applied'; readonly value: Output }
  | { readonly verdict: 'not-applied' }
  | { readonly verdict: 'unknown' }

/** What a resolver may look the effect up by. */
export interface ResolverRecord {
  /** The record's id in hexadecimal. */
  readonly id: string
  readonly key: string
  readonly attempt: number
  readonly createdAtMs: number
  readonly input: unknown
  /** The same derived key that the attempt passed on. */
  deriveKey(name: string): string
}

/** An operation as the engine uses it: declared, checked and frozen. */
export interface OperationDefinition {
  readonly name: string
  readonly bind: Bind
  readonly policy: Policy
  readonly phase: Phase
  readonly keyspace: 'key' | 'operation'
  /** Whether the payload stands in for a missing key, for the policy's retention. */
  readonly payloadKey: boolean
  readonly begin: 'at-claim' | 'explicit'
  readonly rerunnable: boolean
  readonly version: number
  readonly retryTransaction: number
  readonly isolation: Isolation
  readonly exclude: readonly string[]
  readonly store: 'outcome' | 'nothing'
  readonly encrypt: boolean
  readonly redact: ((value: never) => unknown) | undefined
  readonly adopt: Adoption<never> | undefined
  readonly resolver: Resolver<never> | undefined
  readonly input: StandardSchema | undefined
}

const isolations: readonly Isolation[] = ['default', 'read-committed', 'repeatable-read', 'serializable']
const phases: readonly Phase[] = ['observe', 'optional', 'enforce']

/** Checks the declaration of an operation; what is unsafe or cannot work is refused here, before anything runs. */
export function defineOperation<Input, Output, B extends Bind>(
  name: string,
  options: OperationOptions<Input, Output, B>,
  defaults: { readonly phase: Phase; readonly transactional: boolean; readonly steps?: boolean; readonly encrypt?: boolean },
): OperationDefinition {
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/.test(name)) {
    throw new ConfigurationError(
      `Operation name ${JSON.stringify(name)} must be 1 to 128 letters, digits, dots, dashes, slashes, colons or underscores, such as 'create-payment': it is stored with every record.`,
    )
  }
  const [preset, own] =
    typeof options.policy === 'string' || options.policy === undefined ? [options.policy ?? 'standard', {}] : options.policy
  const policy = definePolicy(
    preset,
    options.payloadKey === undefined ? own : { ...own, ...payloadAges(name, preset, own, options.payloadKey) },
  )
  const { bind, begin = 'at-claim', rerunnable = false, retryTransaction = 3, isolation = 'default', phase = defaults.phase } = options
  if (bind === undefined)
    throw new ConfigurationError(
      `Operation "${name}" has no bind; write bind: 'transaction' where the effect is rows of the store's own database, else bind: 'lease'.`,
    )
  if (bind !== 'transaction' && bind !== 'steps' && bind !== 'lease')
    throw new ConfigurationError(`Operation "${name}": bind ${JSON.stringify(bind)} is unknown; it is 'transaction', 'steps' or 'lease'.`)
  checkSteps(name, options, phase, defaults.steps ?? false)
  if (bind === 'transaction' && !defaults.transactional) {
    throw new ConfigurationError(
      `Operation "${name}": bind "transaction" needs a store in the user's own database (PostgreSQL, SQLite); this store cannot commit with it. Use bind "lease".`,
    )
  }
  if (bind !== 'lease' && begin === 'explicit')
    throw new ConfigurationError(
      `Operation "${name}": begin "explicit" is for bind "lease"; with bind "${bind}" the library knows when effects start.`,
    )
  if (!phases.includes(phase))
    throw new ConfigurationError(`Operation "${name}": phase ${JSON.stringify(phase)} is unknown; it is one of ${phases.join(', ')}.`)
  if (!isolations.includes(isolation))
    throw new ConfigurationError(
      `Operation "${name}": isolation ${JSON.stringify(isolation)} is unknown; it is one of ${isolations.join(', ')}.`,
    )
  if (!Number.isInteger(retryTransaction) || retryTransaction < 0 || retryTransaction > 100) {
    throw new ConfigurationError(
      `Operation "${name}": retryTransaction is ${String(retryTransaction)}; it must be a whole number from 0 (the handler is called once) to 100.`,
    )
  }
  jsonExclusions(options.exclude ?? [])
  checkPolicyBind(name, policy, bind, rerunnable)
  return Object.freeze({
    name,
    bind,
    policy,
    phase,
    keyspace: options.keyspace ?? 'key',
    payloadKey: options.payloadKey !== undefined,
    begin,
    // What has left a recovery point goes on there: repeating an attempt repeats no step.
    rerunnable: rerunnable || bind === 'steps',
    version: options.version ?? 1,
    retryTransaction,
    isolation,
    exclude: options.exclude ?? [],
    store: options.store ?? 'outcome',
    encrypt: options.encrypt ?? defaults.encrypt ?? false,
    redact: options.redact,
    adopt: options.adopt as Adoption<never> | undefined,
    resolver: options.resolver as Resolver<never> | undefined,
    input: options.input as StandardSchema | undefined,
  })
}

function checkSteps(
  name: string,
  {
    bind,
    version,
    resolver,
    adopt,
    store,
  }: Pick<OperationOptions<never, unknown>, 'bind' | 'version' | 'store'> & { readonly resolver?: unknown; readonly adopt?: unknown },
  phase: Phase,
  hasSteps: boolean,
): void {
  if (bind !== 'steps') {
    if (version === undefined) return
    throw new ConfigurationError(`Operation "${name}": version is for bind "steps", whose recovery points outlive a deployment.`)
  }
  if (!hasSteps)
    throw new ConfigurationError(
      `Operation "${name}": bind "steps" needs a store that keeps recovery points beside the user's own rows (PostgreSQL, MySQL, SQLite).`,
    )
  if (version !== undefined && !(Number.isInteger(version) && version >= 1 && version <= 2_147_483_647))
    throw new ConfigurationError(`Operation "${name}": version is ${String(version)}; it must be a whole number from 1 to 2147483647.`)
  if (phase === 'observe')
    throw new ConfigurationError(
      `Operation "${name}": phase "observe" runs without a record, and steps cannot; use "optional" or "enforce".`,
    )
  if (resolver !== undefined)
    throw new ConfigurationError(
      `Operation "${name}": a resolver is for bind "lease"; with steps each effect has its own look-up (onAmbiguous).`,
    )
  if (adopt !== undefined)
    throw new ConfigurationError(
      `Operation "${name}": adopt is for binds "transaction" and "lease"; whoever finishes an operation of steps may not know its key.`,
    )
  if (store === 'nothing')
    throw new ConfigurationError(
      `Operation "${name}": store "nothing" cannot work with bind "steps": its steps are stored by their nature.`,
    )
}

/** The ages of a record whose payload is its key: the window, and not a moment longer, or a wanted repeat would be refused. */
function payloadAges(
  operation: string,
  preset: PolicyName,
  own: PolicyOptions,
  { window }: { readonly window: Duration },
): Pick<PolicyOptions, 'retention' | 'tombstone'> {
  if (preset === 'financial')
    throw new ConfigurationError(
      `Operation "${operation}": payloadKey would make one payment of two equal ones, so policy "financial" refuses it. Let the caller send a key.`,
    )
  if (own.retention !== undefined || own.tombstone !== undefined)
    throw new ConfigurationError(
      `Operation "${operation}": payloadKey.window ${JSON.stringify(window)} is the retention and the tombstone. Leave both out of the policy.`,
    )
  return { retention: window, tombstone: window }
}
