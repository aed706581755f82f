import { EffectLedger } from './effect-ledger.ts'
import { Nemesis } from './nemesis.ts'
import type { PlantedBug } from './planted-bug.ts'
import { Referee, subjectOf } from './referee.ts'
import {
  drawScenario,
  effectTimeoutMs,
  leaseMs,
  type PaymentRequest,
  retentionMs,
  type Scenario,
  type SimMode,
  tombstoneMs,
} from './scenario.ts'
import { SimClient } from './sim-client.ts'
import { SimDatabase } from './sim-database.ts'
import { noLinkFaults } from './sim-network.ts'
import { type Deployment, SimServer } from './sim-server.ts'
import { noStalls, SimWorld } from './world.ts'

export interface SimOptions {
  readonly seed: number
  /** Default: by the seed; three of four are `liveness`. */
  readonly mode?: SimMode
  /** Keeps the trace. Same seed, same trace. */
  readonly trace?: boolean
  /** A mistake of the store that the checker must find. */
  readonly bug?: PlantedBug
  /** Changes what the seed has drawn, to look harder at one kind of fault. */
  readonly change?: (drawn: Scenario) => Scenario
}

export interface SimReport {
  readonly seed: number
  readonly mode: SimMode
  /** Broken promises; empty when all were kept. */
  readonly violations: readonly string[]
  /** Injected faults by kind. */
  readonly faults: ReadonlyMap<string, number>
  /** Answers by word. */
  readonly words: ReadonlyMap<string, number>
  readonly effects: number
  readonly rows: number
  readonly virtualMs: number
  readonly trace: readonly string[]
}

/** How long after the last fault every client must have its final word. */
const livenessMs = 240_000

/**
 * Lives through one seed: several processes run the engine over one database and one provider, clients repeat their requests,
 * faults are injected, and every promise is checked on the way and at the end.
 */
export async function simulate(options: SimOptions): Promise<SimReport> {
  const world = new SimWorld(options.seed, { trace: options.trace ?? false })
  const mode = options.mode ?? (options.seed % 4 === 3 ? 'safety' : 'liveness')
  const drawn = drawScenario(world.random.fork('scenario'), mode)
  const scenario = options.change?.(drawn) ?? drawn
  const database = new SimDatabase(world, options.bug)
  const ledger = new EffectLedger(world, scenario.honoursKeys)
  const referee = new Referee(world, database, ledger, scenario)
  await new Life({ world, scenario, database, ledger, referee }).live()
  const { violations, faults, trace } = world
  return {
    seed: options.seed,
    mode,
    violations,
    faults,
    words: referee.words,
    effects: ledger.effects.length,
    rows: database.rows.length,
    virtualMs: world.time.nowMs,
    trace,
  }
}

class Life {
  readonly #deployment: Deployment
  readonly #servers: readonly SimServer[]
  readonly #nemesis: Nemesis
  readonly #clients: SimClient[] = []

  constructor(deployment: Deployment) {
    const { world, scenario, database } = deployment
    this.#deployment = deployment
    this.#servers = Array.from({ length: scenario.processes }, (_, index) => new SimServer(deployment, `server-${index + 1}`))
    this.#nemesis = new Nemesis(world, this.#servers, database)
  }

  async live(): Promise<void> {
    const { scenario, referee } = this.#deployment
    await this.#suffer(scenario)
    if (scenario.mode === 'liveness') {
      await this.#recover(scenario)
      if (scenario.ages && this.#deployment.world.violations.length === 0) await this.#age(scenario)
    }
    referee.checkEnd()
  }

  /** Clients ask, faults are injected. */
  async #suffer(scenario: Scenario): Promise<void> {
    const { world, database, ledger, referee } = this.#deployment
    world.stalls = scenario.stalls
    database.conflicts = scenario.conflicts
    database.onCommit = () => referee.checkRows()
    ledger.declines = scenario.declines
    this.#nemesis.start(scenario.nemesis)
    for (const { atMs, ...request } of scenario.requests) this.#ask(request, atMs, scenario.clientLink)
    await world.run(scenario.faultMs)
  }

  /** Faults stop: every client gets a final word in bounded time, and nothing stays running after lease and grace. */
  async #recover(scenario: Scenario): Promise<void> {
    const { world, database, ledger } = this.#deployment
    world.note('world', () => 'faults stop')
    world.stalls = noStalls
    database.conflicts = 0
    ledger.declines = 0
    for (const client of this.#clients) client.faults = noLinkFaults
    this.#nemesis.stop()
    await this.#answered('after the faults stopped')
    await world.run(world.time.nowMs + leaseMs + effectTimeoutMs)
    await this.#askAll(distinct(scenario.requests), 'when everything was quiet')
    const running = database.records().filter(({ state }) => state === 'running')
    for (const { operation, attempt } of running) world.violate(`attempt ${attempt} of ${operation} is still running after lease and grace`)
    if (database.openTransactions > 0) world.violate(`${database.openTransactions} transactions are still open`)
  }

  /** Keys age: first their outcome is gone, then they are new again. */
  async #age(scenario: Scenario): Promise<void> {
    const { world, referee } = this.#deployment
    referee.checkEnd()
    referee.letAge()
    const completed = distinct(scenario.requests).filter((request) => referee.isCompleted(request))
    await world.run(world.time.nowMs + retentionMs)
    const words = await this.#askAll(completed, 'when outcomes had aged')
    for (const word of words)
      if (word !== 'expired' && word !== 'mismatch') world.violate(`a completed key answered ${word} after its retention`)
    await world.run(world.time.nowMs + tombstoneMs - retentionMs)
    await this.#askAll(completed, 'when keys were new again')
  }

  async #askAll(requests: readonly PaymentRequest[], when: string): Promise<(string | undefined)[]> {
    const first = this.#clients.length
    for (const request of requests) this.#ask(request, this.#deployment.world.time.nowMs, noLinkFaults)
    await this.#answered(when)
    return this.#clients.slice(first).map(({ final }) => final?.status)
  }

  #ask(request: PaymentRequest, atMs: number, faults: Scenario['clientLink']): void {
    const client = new SimClient(this.#deployment.world, this.#servers, request, faults, `client-${this.#clients.length + 1}`)
    this.#clients.push(client)
    client.start(atMs)
  }

  async #answered(when: string): Promise<void> {
    const { world } = this.#deployment
    await world.run(world.time.nowMs + livenessMs, () => this.#clients.every(({ final }) => final !== undefined))
    for (const { request, final } of this.#clients)
      if (final === undefined) world.violate(`${subjectOf(request)} ${request.operation}: no final word ${when}`)
  }
}

function distinct(requests: Scenario['requests']): PaymentRequest[] {
  return [...new Map(requests.map(({ atMs: _, ...request }) => [JSON.stringify(request), request])).values()]
}
