import {
  type AttemptContext,
  type HandlerContext,
  Rejection,
  type ResolverRecord,
  type ResolverVerdict,
  sleep,
  timedOut,
  withTimeout,
} from '../core/index.ts'
import type { Effect, EffectLedger } from './effect-ledger.ts'
import { type Receipt, type Referee, subjectOf } from './referee.ts'
import { type HandlerFaults, lastBlockMsMax, leaseMs, operationKinds, type PaymentRequest } from './scenario.ts'
import type { SimNetwork } from './sim-network.ts'
import type { SimTransaction } from './sim-transaction.ts'
import type { SimProcess } from './world.ts'

/** What the handlers of one process work with. */
export interface HandlerParts {
  readonly process: SimProcess
  readonly referee: Referee
  readonly ledger: EffectLedger
  readonly provider: SimNetwork
  readonly faults: () => HandlerFaults
}

/** Longest wait of a handler for one answer of its own. */
const patienceMs = 10_000

class HandlerFailure extends Error {
  override readonly name = 'HandlerFailure'
}

/** The user's code in the simulated application: it thinks, does its effect, thinks again, and fails at any of these points. */
export class PaymentHandler {
  readonly #parts: HandlerParts

  constructor(parts: HandlerParts) {
    this.#parts = parts
  }

  /** An effect outside, under a lease. It stops when it is told to, and asks once more right before its effect. */
  async pay(request: PaymentRequest, context: AttemptContext): Promise<Receipt> {
    const { referee, process } = this.#parts
    const { begin, rerunnable } = operationKinds[request.operation]
    const faults = this.#parts.faults()
    const execution = referee.enters(request, context.record)
    if (begin === 'at-claim') referee.passesBegin(request, context.record, execution)
    await this.#think(faults)
    if (process.random.chance(faults.failBefore)) this.#fail('before its effect')
    // An attempt that repeats a begun one cannot know that nothing happened.
    if (!rerunnable && process.random.chance(faults.reject)) throw new Rejection(receiptOf(request, execution, 0))
    if (context.signal.aborted) throw context.signal.reason
    await context.begin()
    if (begin === 'explicit') referee.passesBegin(request, context.record, execution)
    const effect = await this.#apply(request, context, execution)
    await this.#think(faults)
    if (process.random.chance(faults.failAfter)) this.#fail('after its effect')
    return receiptOf(request, effect.execution, effect.id)
  }

  /** Rows of the database, in the transaction that also holds the record. */
  async transfer(request: PaymentRequest, context: HandlerContext<unknown, SimTransaction, 'transaction'>): Promise<Receipt> {
    const { referee, process } = this.#parts
    const faults = this.#parts.faults()
    const execution = referee.enters(request, context.record)
    await this.#think(faults)
    if (process.random.chance(faults.failBefore)) this.#fail('before its row')
    try {
      await this.#bounded(context.tx.insert({ key: subjectOf(request), value: execution }))
    } catch (error) {
      if (!process.random.chance(faults.swallow)) throw error
      process.world.count('handler swallows an error')
    }
    await this.#think(faults)
    if (process.random.chance(faults.escape)) {
      process.world.count('handler commits itself')
      await this.#bounded(context.tx.commit())
    }
    if (process.random.chance(faults.failAfter)) this.#fail('after its row')
    if (!context.tx.endedByUser && process.random.chance(faults.reject)) throw new Rejection(receiptOf(request, execution, 0))
    return receiptOf(request, execution, 0)
  }

  /** Looks an uncertain attempt up in the ledger, under the key that the attempt passed on. */
  async resolve(request: PaymentRequest, record: ResolverRecord): Promise<ResolverVerdict<Receipt>> {
    const { provider, process, ledger } = this.#parts
    const requestKey = record.deriveKey('payment')
    const found = await this.#bounded(
      provider.request(process, {
        label: `look up ${subjectOf(request)}`,
        serve: () => ({ effect: ledger.find(requestKey) }),
        lost: () => new HandlerFailure('the look-up was lost'),
      }),
    )
    if (found.effect === undefined) return { verdict: 'not-applied' }
    return { verdict: 'applied', value: receiptOf(request, found.effect.execution, found.effect.id) }
  }

  async #apply(request: PaymentRequest, context: AttemptContext, execution: string): Promise<Effect> {
    const { provider, process, ledger } = this.#parts
    const subject = subjectOf(request)
    const { amount } = request
    const requestKey = context.deriveKey('payment')
    return this.#bounded(
      provider.request(process, {
        label: `pay for ${subject}`,
        serve: () => ledger.apply(requestKey, { subject, execution, amount }),
        lost: () => new HandlerFailure('the answer of the provider was lost'),
        blockMsMax: lastBlockMsMax,
      }),
    )
  }

  async #think(faults: HandlerFaults): Promise<void> {
    const { process } = this.#parts
    const slow = process.random.chance(faults.slow)
    await sleep(process.clock, slow ? process.random.between(0, 1.2 * leaseMs) : process.random.between(0, 50))
  }

  async #bounded<T>(work: Promise<T>): Promise<T> {
    const answer = await withTimeout(this.#parts.process.clock, patienceMs, work)
    if (answer === timedOut) throw new HandlerFailure('no answer in time')
    return answer
  }

  #fail(where: string): never {
    this.#parts.process.world.count('handler throws')
    throw new HandlerFailure(where)
  }
}

function receiptOf(request: PaymentRequest, execution: string, effect: number): Receipt {
  const { operation, amount } = request
  return { subject: subjectOf(request), operation, amount, execution, effect }
}
