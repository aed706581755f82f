import { type HandlerContext, isOncelyError, Oncely, type Operation, type ResolverRecord } from '../core/index.ts'
import type { EffectLedger } from './effect-ledger.ts'
import { PaymentHandler } from './payment-handler.ts'
import type { Answer, Receipt, Referee } from './referee.ts'
import {
  calmHandlers,
  type OperationName,
  operationKinds,
  type PaymentRequest,
  policyOf,
  type Scenario,
  storeTimeoutMs,
} from './scenario.ts'
import type { SimDatabase } from './sim-database.ts'
import { noLinkFaults, SimNetwork } from './sim-network.ts'
import type { SimTransaction } from './sim-transaction.ts'
import { SimTransactionalStore } from './sim-transactional-store.ts'
import { SimProcess, type SimWorld } from './world.ts'

/** What all servers of one world share. */
export interface Deployment {
  readonly world: SimWorld
  readonly scenario: Scenario
  readonly database: SimDatabase
  readonly ledger: EffectLedger
  readonly referee: Referee
}

/** Waiting for what runs, settling what still does, and writing counts: each is bounded. */
const drainMsMax = 20_000

type PaymentOperation = Operation<PaymentRequest, Receipt, SimTransaction, 'lease' | 'transaction'>

/** One server of the simulated application: a process that can die and start again, with a new engine each time. */
export class SimServer {
  readonly name: string
  readonly database: SimNetwork
  readonly provider: SimNetwork
  readonly #deployment: Deployment
  readonly #skewMs: number
  #starts = 0
  #faulty = true
  #process: SimProcess
  #oncely: Oncely<SimTransaction>
  #operations: ReadonlyMap<OperationName, PaymentOperation>

  constructor(deployment: Deployment, name: string) {
    const { world, database, ledger } = deployment
    this.name = name
    this.#deployment = deployment
    this.#skewMs = world.random.integer(-60_000, 60_000)
    this.database = new SimNetwork(world, database, name)
    this.provider = new SimNetwork(world, ledger, name)
    this.#process = this.#newProcess()
    this.#oncely = this.#newOncely()
    this.#operations = this.#declared()
    this.linkUp()
  }

  get process(): SimProcess {
    return this.#process
  }

  /** Starts again after a death. */
  boot(): void {
    this.#process.kill()
    this.#process = this.#newProcess()
    this.#oncely = this.#newOncely()
    this.#operations = this.#declared()
    if (this.#deployment.scenario.sweeper) this.#oncely.start({ sweeper: true, sweepEveryMs: 20_000 }).catch(() => {})
  }

  /** A deployment: takes nothing new, ends, and starts again. Its end must come in bounded time. */
  async drain(): Promise<void> {
    const process = this.#process
    const ended = this.#deployment.referee.mustEnd(`the drain of ${process.name}`, drainMsMax, process)
    await this.#oncely.drain()
    ended()
    if (process.alive) this.boot()
  }

  linkUp(): void {
    const { databaseLink, providerLink } = this.#deployment.scenario
    this.database.faults = this.#faulty ? databaseLink : noLinkFaults
    this.provider.faults = this.#faulty ? providerLink : noLinkFaults
  }

  linkDown(): void {
    this.database.faults = { ...noLinkFaults, requestLost: 0.5, replyLost: 0.5 }
  }

  /** Nothing goes wrong here any more. */
  heal(): void {
    this.#faulty = false
    this.linkUp()
    if (!this.#process.alive) this.boot()
  }

  /** Handles one request as it arrives; the answer is also what the referee hears. */
  async handle(request: PaymentRequest): Promise<Answer> {
    const { referee } = this.#deployment
    const refereed = referee.calls(request, this.#process)
    const answer = await this.#answer(request)
    this.#deployment.world.note(
      this.name,
      () => `answers ${request.tenant}/${request.key} ${request.operation} ${request.amount}: ${answer.status}`,
    )
    refereed.answered(answer)
    return answer
  }

  async #answer(request: PaymentRequest): Promise<Answer> {
    const operation = this.#operations.get(request.operation) as PaymentOperation
    const handler = this.#handler()
    const { tenant: principal, key } = request
    const run = (context: HandlerContext<PaymentRequest, SimTransaction, 'transaction'>): Promise<Receipt> =>
      operationKinds[request.operation].bind === 'transaction' ? handler.transfer(request, context) : handler.pay(request, context)
    try {
      return await operation.run({ principal, key, input: request }, run as never)
    } catch (error) {
      return { status: 'threw', name: isOncelyError(error) ? error.code : (error as Error).name }
    }
  }

  #newProcess(): SimProcess {
    return new SimProcess(this.#deployment.world, `${this.name}.${++this.#starts}`, { skewMs: this.#skewMs, stallable: true })
  }

  #newOncely(): Oncely<SimTransaction> {
    const { world, scenario, database, referee } = this.#deployment
    const process = this.#process
    const store = new SimTransactionalStore({ process, network: this.database, database, history: referee.records })
    return new Oncely<SimTransaction>(process.platform, {
      namespace: 'payments',
      store,
      owner: process.name,
      limits: { storeTimeoutMs, drainMs: 5_000, waitersMax: scenario.waitersMax },
      events: ({ type, record, reason }) => world.note(process.name, () => `event ${type} ${record.slice(0, 6)} ${reason}`),
    })
  }

  #declared(): ReadonlyMap<OperationName, PaymentOperation> {
    const { scenario } = this.#deployment
    const handler = this.#handler()
    return new Map(
      (Object.keys(operationKinds) as OperationName[]).map((name) => {
        const { bind, begin, rerunnable, resolver } = operationKinds[name]
        const operation = this.#oncely.operation<PaymentRequest, Receipt, 'lease' | 'transaction'>(name, {
          bind,
          begin,
          rerunnable,
          policy: ['standard', policyOf(scenario, name)],
          ...(resolver ? { resolver: (record: ResolverRecord) => handler.resolve(record.input as PaymentRequest, record) } : {}),
        })
        return [name, operation]
      }),
    )
  }

  #handler(): PaymentHandler {
    const { scenario, referee, ledger } = this.#deployment
    return new PaymentHandler({
      process: this.#process,
      referee,
      ledger,
      provider: this.provider,
      faults: () => (this.#faulty ? scenario.handlers : calmHandlers),
    })
  }
}
