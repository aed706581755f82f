import type { PolicyOptions } from '../core/index.ts'
import type { LinkFaults } from './sim-network.ts'
import type { SimRandom } from './sim-random.ts'
import type { StallFaults } from './world.ts'

/** The operations of the simulated application, one for each way an effect can be bound. */
export const operationKinds = {
  transfer: { bind: 'transaction', begin: 'at-claim', rerunnable: false, resolver: false, waits: false },
  'transfer-wait': { bind: 'transaction', begin: 'at-claim', rerunnable: false, resolver: false, waits: true },
  charge: { bind: 'lease', begin: 'at-claim', rerunnable: false, resolver: true, waits: false },
  order: { bind: 'lease', begin: 'explicit', rerunnable: false, resolver: true, waits: true },
  booking: { bind: 'lease', begin: 'explicit', rerunnable: false, resolver: false, waits: false },
  mail: { bind: 'lease', begin: 'at-claim', rerunnable: true, resolver: false, waits: true },
} as const

export type OperationName = keyof typeof operationKinds

/** One payload under one key: what a client sends, again and again, until it has a final word. */
export interface PaymentRequest {
  readonly tenant: string
  readonly key: string
  readonly operation: OperationName
  readonly amount: number
}

/** `safety`: faults until the end. `liveness`: they stop, and then everybody must get a final word. */
export type SimMode = 'safety' | 'liveness'

/** How often something is done to a process or the database; 0 means never. */
export interface NemesisPlan {
  readonly killEveryMs: number
  readonly pauseEveryMs: number
  readonly drainEveryMs: number
  readonly partitionEveryMs: number
  readonly databaseCrashEveryMs: number
  readonly databaseOutageEveryMs: number
  readonly databaseClockEveryMs: number
}

/** The chances of what a handler does wrong. */
export interface HandlerFaults {
  readonly failBefore: number
  readonly failAfter: number
  readonly reject: number
  readonly slow: number
  /** Swallows an error of the database and goes on. */
  readonly swallow: number
  /** Commits its transaction itself. */
  readonly escape: number
}

export const calmHandlers: HandlerFaults = { failBefore: 0, failAfter: 0, reject: 0, slow: 0, swallow: 0, escape: 0 }

/** Everything that a seed decides before its world begins to move. */
export interface Scenario {
  readonly mode: SimMode
  readonly processes: number
  /** How long faults are injected. */
  readonly faultMs: number
  readonly honoursKeys: boolean
  readonly attemptsMax: number
  readonly waitersMax: number
  readonly onUnrecorded: 'withhold' | 'answer'
  readonly sweeper: boolean
  /** The world also lives through retention and tombstone. */
  readonly ages: boolean
  readonly databaseLink: LinkFaults
  readonly providerLink: LinkFaults
  readonly clientLink: LinkFaults
  readonly stalls: StallFaults
  readonly conflicts: number
  readonly declines: number
  readonly handlers: HandlerFaults
  readonly nemesis: NemesisPlan
  readonly requests: readonly (PaymentRequest & { readonly atMs: number })[]
}

export const leaseMs = 10_000
/**
 * The latest that an effect can arrive after its lease: a block right before the request, a late request, and a database whose
 * clock was set forward meanwhile. Handlers promise no more, so nothing in a world takes longer.
 */
export const effectTimeoutMs = 35_000
/** How far the clock of the database is off at most: behind, and ahead. */
export const clockOffsetsMs = { min: -5_000, max: 12_000 } as const
export const retentionMs = 900_000
export const tombstoneMs = 1_800_000
export const storeTimeoutMs = 2_000
/** Right before a request to the provider the event loop is blocked for less than `effectTimeoutMs` allows for. */
export const lastBlockMsMax = 5_000

export function policyOf(scenario: Scenario, name: OperationName): PolicyOptions {
  return {
    lease: leaseMs,
    effectTimeout: effectTimeoutMs,
    retention: retentionMs,
    tombstone: tombstoneMs,
    retryHorizon: '5m',
    backoffCeiling: '1m',
    partitionRecovery: '2m',
    brokerRedelivery: '1m',
    wait: '5s',
    survives: 'failover',
    attemptsMax: scenario.attemptsMax,
    onUnrecorded: scenario.onUnrecorded,
    onConcurrent: operationKinds[name].waits ? 'wait' : 'reject',
  }
}

/** Draws a scenario. Each kind of fault is left out of some worlds, so that rare ones are not drowned by frequent ones. */
export function drawScenario(random: SimRandom, mode: SimMode): Scenario {
  const some = (chance: number, max: number): number => (random.chance(chance) ? random.between(0.1, 1) * max : 0)
  const faultMs = random.integer(20_000, 90_000)
  const every = (chance: number, minMs: number): number => (random.chance(chance) ? random.between(minMs, 3 * minMs) : 0)
  return {
    mode,
    processes: random.integer(2, 4),
    faultMs,
    honoursKeys: random.chance(0.4),
    attemptsMax: random.pick([3, 100, 100]),
    waitersMax: random.pick([2, 100]),
    onUnrecorded: random.pick(['withhold', 'answer']),
    sweeper: random.chance(0.5),
    ages: random.chance(0.1),
    databaseLink: drawLink(some, random.pick([3_000, 20_000])),
    // Some providers answer and act late, but within `effectTimeoutMs` of the lease.
    providerLink: { ...drawLink(some, random.pick([1_000, 9_000])), ...(random.chance(0.3) ? { delayed: 0.5, delayMsMax: 9_000 } : {}) },
    clientLink: drawLink(some, 5_000),
    stalls: {
      kill: some(0.3, 0.05),
      block: some(0.5, 0.1),
      blockMsMax: random.pick([50, 3_000, 30_000]),
      pause: some(0.5, 0.1),
      pauseMsMax: random.pick([3_000, 15_000, 40_000]),
    },
    conflicts: some(0.5, 0.2),
    declines: some(0.5, 0.2),
    handlers: {
      failBefore: some(0.6, 0.3),
      failAfter: some(0.6, 0.3),
      reject: some(0.5, 0.3),
      slow: some(0.6, 0.6),
      swallow: some(0.5, 0.5),
      escape: some(0.3, 0.2),
    },
    nemesis: {
      killEveryMs: every(0.5, 4_000),
      pauseEveryMs: every(0.6, 5_000),
      drainEveryMs: every(0.4, 8_000),
      partitionEveryMs: every(0.4, 8_000),
      databaseCrashEveryMs: every(0.4, 15_000),
      databaseOutageEveryMs: every(0.4, 15_000),
      databaseClockEveryMs: every(0.5, 5_000),
    },
    requests: drawRequests(random, faultMs),
  }
}

function drawLink(some: (chance: number, max: number) => number, delayMsMax: number): LinkFaults {
  return {
    refused: some(0.5, 0.1),
    requestLost: some(0.5, 0.15),
    replyLost: some(0.6, 0.2),
    delayed: some(0.5, 0.15),
    slow: some(0.5, 0.15),
    delayMsMax,
  }
}

/** Both tenants use the same keys. Half of the requests repeat an earlier one, some of them with another payload. */
function drawRequests(random: SimRandom, faultMs: number): (PaymentRequest & { atMs: number })[] {
  const keys = random.integer(1, 3)
  const names = Object.keys(operationKinds) as OperationName[]
  const subjects = ['acme', 'globex'].flatMap((tenant) =>
    Array.from({ length: keys }, (_, index): PaymentRequest => {
      return { tenant, key: `key-${index + 1}`, operation: random.pick(names), amount: random.integer(1, 99) }
    }),
  )
  return subjects.flatMap((subject) => {
    const startMs = random.between(0, faultMs / 3)
    return Array.from({ length: random.integer(2, 4) }, (_, index) => {
      const altered = index > 0 && random.chance(0.25)
      const atMs = startMs + (random.chance(0.5) ? random.between(0, 50) : random.between(0, faultMs / 2))
      return { ...(altered ? alteredRequest(random, subject) : subject), atMs }
    })
  })
}

/** Another amount, or the same key on an operation of the same kind of guarantee. */
function alteredRequest(random: SimRandom, request: PaymentRequest): PaymentRequest {
  const twins: Partial<Record<OperationName, OperationName>> = {
    transfer: 'transfer-wait',
    'transfer-wait': 'transfer',
    charge: 'order',
    order: 'booking',
    booking: 'charge',
  }
  const twin = twins[request.operation]
  return twin !== undefined && random.chance(0.3) ? { ...request, operation: twin } : { ...request, amount: request.amount + 100 }
}
