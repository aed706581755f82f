import { codecIds, decodeValue, fromHex, type OncelyRecord, openOutcome, type RunResult } from '../core/index.ts'
import { checkLinearizable, type HistoryOperation, type SequentialModel } from '../testing/index.ts'
import { type Answered, type AnsweredCall, answerModel } from './answer-model.ts'
import type { EffectLedger } from './effect-ledger.ts'
import { History } from './history.ts'
import { plainHasher } from './plain-hasher.ts'
import { type RecordCall, type RecordReply, recordModel } from './record-model.ts'
import { operationKinds, type PaymentRequest, type Scenario } from './scenario.ts'
import type { SimDatabase } from './sim-database.ts'
import type { SimProcess, SimWorld } from './world.ts'

/** What a handler returns: who paid what in which execution, and the effect outside (0 for a row of the database). */
export interface Receipt {
  readonly subject: string
  readonly operation: string
  readonly amount: number
  readonly execution: string
  readonly effect: number
}

/** The answer of one call: the word of the engine, or that it threw. */
export type Answer = RunResult<Receipt> | { readonly status: 'threw'; readonly name: string }

/** One call in one process, from its arrival to its answer. */
export interface RefereedCall {
  answered(answer: Answer): void
}

/** Something that must end within `limitMs` of its process's own time. */
interface Pending {
  readonly what: string
  readonly limitMs: number
  readonly process: SimProcess
  readonly startedMs: number
  readonly stalledMs: number
}

export function subjectOf({ tenant, key }: Pick<PaymentRequest, 'tenant' | 'key'>): string {
  return `${tenant}/${key}`
}

/** No call takes longer than this, times in which its process stands still left out. */
const callMsMax = { lease: 90_000, transaction: 240_000 } as const

/** Watches every promise while the world moves, and once more at its end. Knows the truth: the ledger and the committed rows. */
export class Referee {
  readonly records: History<RecordCall, RecordReply>
  readonly #answers: History<AnsweredCall, Answered>
  readonly #world: SimWorld
  readonly #database: SimDatabase
  readonly #ledger: EffectLedger
  readonly #scenario: Scenario
  readonly #outcomes = new Map<string, string>()
  readonly #recordIds = new Map<string, string>()
  readonly #passes = new Map<string, number>()
  readonly #pending = new Set<Pending>()
  readonly words: Map<string, number> = new Map()
  #executions = 0
  /** Off once keys may age: a key then begins a second life. */
  #young = true

  constructor(world: SimWorld, database: SimDatabase, ledger: EffectLedger, scenario: Scenario) {
    this.#world = world
    this.#database = database
    this.#ledger = ledger
    this.#scenario = scenario
    this.records = new History(world)
    this.#answers = new History(world)
  }

  /** A handler was entered. */
  enters(request: PaymentRequest, record: string): string {
    this.#recordIds.set(subjectOf(request), record)
    return `x${++this.#executions}`
  }

  /** An execution may have effects from here on. */
  passesBegin(request: PaymentRequest, record: string, execution: string): void {
    const subject = subjectOf(request)
    const passes = (this.#passes.get(subject) ?? 0) + 1
    this.#passes.set(subject, passes)
    if (operationKinds[request.operation].rerunnable) return
    const allowed = 1 + this.#provenNotApplied(record)
    if (this.#young && passes > allowed)
      this.#world.violate(`${subject}: ${execution} of ${request.operation} passed begin as number ${passes}, allowed are ${allowed}`)
  }

  /** Nothing hangs: what begins here must end, unless its process dies. Answers with what says that it has. */
  mustEnd(what: string, limitMs: number, process: SimProcess): () => void {
    const pending = { what, limitMs, process, startedMs: process.localMs, stalledMs: process.stalledMs }
    this.#pending.add(pending)
    return () => {
      this.#pending.delete(pending)
      this.#checkDuration(pending)
    }
  }

  calls(request: PaymentRequest, process: SimProcess): RefereedCall {
    const subject = subjectOf(request)
    const invocation = this.#answers.invoke(subject, { payload: payloadOf(request) })
    const ended = this.mustEnd(`${subject}: a call of ${request.operation}`, callMsMax[operationKinds[request.operation].bind], process)
    return {
      answered: (answer) => {
        ended()
        this.words.set(answer.status, (this.words.get(answer.status) ?? 0) + 1)
        const said = this.#judge(request, answer)
        if (said !== undefined) invocation.ok(said)
      },
    }
  }

  /** Checked while the world moves, after every commit. */
  checkRows(): void {
    const seen = new Set<string>()
    for (const { key } of this.#database.rows) {
      if (seen.has(key) && this.#young) this.#world.violate(`${key}: two rows are committed`)
      seen.add(key)
    }
  }

  /** Keys may age from here on: what was true for ever is not asked any more. */
  letAge(): void {
    this.#young = false
    this.records.close()
    this.#answers.close()
  }

  isCompleted(request: PaymentRequest): boolean {
    return this.#recordOf(subjectOf(request))?.state === 'completed'
  }

  /** After the last event: the truth outside against what was answered, and every history against its model. */
  checkEnd(): void {
    for (const pending of this.#pending) if (pending.process.alive) this.#checkDuration(pending)
    for (const subject of new Set(this.#scenario.requests.map(subjectOf))) this.#checkSubject(subject)
    if (!this.#young) return
    this.#checkHistory('the record', this.records, recordModel)
    this.#checkHistory('the answers', this.#answers, answerModel)
  }

  #checkDuration({ what, limitMs, process, startedMs, stalledMs }: Pending): void {
    const tookMs = process.localMs - startedMs - (process.stalledMs - stalledMs)
    if (tookMs > limitMs) this.#world.violate(`${what} takes ${tookMs.toFixed(0)} ms`)
  }

  /** What a call may be told, against everything told before. */
  #judge(request: PaymentRequest, answer: Answer): Answered | undefined {
    const subject = subjectOf(request)
    switch (answer.status) {
      case 'done':
      case 'replayed':
        this.#checkReceipt(request, answer.value)
        return this.#decided(request, JSON.stringify(answer.value))
      case 'rejected':
        this.#checkReceipt(request, answer.value as Receipt)
        return this.#decided(request, `rejected ${JSON.stringify(answer.value)}`)
      case 'mismatch':
        if (!this.#hasOtherPayload(request)) this.#world.violate(`${subject}: a mismatch, although everybody sends the same payload`)
        return { word: 'other-payload' }
      case 'forbidden':
      case 'not-stored':
      case 'unprotected':
        this.#world.violate(`${subject}: the answer is ${answer.status}`)
        return undefined
      case 'expired':
        if (this.#young) this.#world.violate(`${subject}: expired before its time`)
        return undefined
      // Followers of one process hear the word of a claim that may have been sent before they came; a retry asks again.
      case 'in-progress':
      case 'uncertain':
      case 'quarantined':
      case 'unrecorded':
      case 'unavailable':
      case 'threw':
        return undefined
      default:
        return answer satisfies never
    }
  }

  #decided(request: PaymentRequest, outcome: string): Answered {
    const subject = subjectOf(request)
    if (this.#young) {
      const before = this.#outcomes.get(subject) ?? outcome
      this.#outcomes.set(subject, before)
      if (before !== outcome) this.#world.violate(`${subject}: answered ${outcome} after ${before}`)
      if (operationKinds[request.operation].bind === 'transaction') this.#checkTransfer(request, outcome)
      this.#checkRecord(subject, outcome)
    }
    return { word: 'outcome', outcome }
  }

  #checkReceipt(request: PaymentRequest, receipt: Receipt): void {
    const subject = subjectOf(request)
    const fits = receipt.subject === subject && receipt.amount === request.amount && receipt.operation === request.operation
    if (!fits) this.#world.violate(`${subject}: ${payloadOf(request)} was answered with ${JSON.stringify(receipt)}`)
  }

  /** Told it is done: its row is there, once, and it is the row of this execution. */
  #checkTransfer(request: PaymentRequest, outcome: string): void {
    const subject = subjectOf(request)
    const rows = this.#database.rows.filter(({ key }) => key === subject)
    if (outcome.startsWith('rejected')) {
      if (rows.length > 0) this.#world.violate(`${subject}: rejected, but a row is committed`)
      return
    }
    const { execution } = JSON.parse(outcome) as Receipt
    if (rows.length !== 1 || rows[0]?.value !== execution)
      this.#world.violate(`${subject}: ${execution} is done, its rows are [${rows.map(({ value }) => value).join()}]`)
  }

  #checkRecord(subject: string, outcome: string): void {
    const record = this.#recordOf(subject)
    const stored = record?.state === 'completed' ? storedText(record) : `nothing (${record?.state ?? 'absent'})`
    if (stored !== outcome) this.#world.violate(`${subject}: ${outcome} was answered, ${stored} is recorded`)
  }

  #checkSubject(subject: string): void {
    const requests = this.#scenario.requests.filter((request) => subjectOf(request) === subject)
    const effects = this.#ledger.of(subject)
    const repeats = requests.some(({ operation }) => operationKinds[operation].rerunnable)
    // A repeated attempt and two lives of one key have effects of their own, where the provider does not know them again.
    if ((this.#ledger.honoursKeys || !repeats) && effects.length > 1 && this.#young) {
      this.#world.violate(`${subject}: ${effects.length} effects, by ${effects.map(({ execution }) => execution).join()}`)
    }
    const outcome = this.#outcomes.get(subject)
    if (outcome === undefined || !this.#young) return
    this.#checkRecord(subject, outcome)
    const lease = requests.every(({ operation }) => operationKinds[operation].bind === 'lease')
    if (!lease || repeats) return
    const told = outcome.startsWith('rejected') ? [] : [(JSON.parse(outcome) as Receipt).effect]
    if (effects.map(({ id }) => id).join() !== told.join())
      this.#world.violate(`${subject}: told of effects [${told.join()}], there are [${effects.map(({ id }) => id).join()}]`)
  }

  #checkHistory<State, Input, Output>(name: string, history: History<Input, Output>, model: SequentialModel<State, Input, Output>): void {
    for (const [object, operations] of history.objects()) {
      const checked = checkLinearizable(operations, model, { statesMax: 1_000_000 })
      if (checked.verdict === 'linearizable') continue
      const why =
        checked.verdict === 'undecided'
          ? ''
          : `: after ${describe(checked.order.slice(-6))} there is no place for ${describe(checked.stuck)}`
      this.#world.violate(`the history of ${name} of ${object.slice(0, 12)} is ${checked.verdict}${why}`)
    }
  }

  #provenNotApplied(record: string): number {
    return this.#database.trail(fromHex(record)).filter(({ event, owner }) => event === 'released' && owner === 'resolver').length
  }

  #recordOf(subject: string): OncelyRecord | undefined {
    const id = this.#recordIds.get(subject)
    return id === undefined ? undefined : this.#database.read(fromHex(id))
  }

  #hasOtherPayload(request: PaymentRequest): boolean {
    return this.#scenario.requests.some((other) => subjectOf(other) === subjectOf(request) && payloadOf(other) !== payloadOf(request))
  }
}

function payloadOf({ operation, amount }: PaymentRequest): string {
  return `${operation} ${amount}`
}

function storedText(record: Extract<OncelyRecord, { state: 'completed' }>): string {
  const stored = openOutcome(record.outcome, plainHasher)
  const text = JSON.stringify(decodeValue(stored))
  return stored.codec === codecIds.jsonRejection ? `rejected ${text}` : text
}

function describe(operations: readonly HistoryOperation<unknown, unknown>[]): string {
  const texts = operations.map(({ input, result }) => {
    const call = input as { type?: string; payload?: string; owner?: { attemptId: string }; request?: { attemptId: string } }
    const attempt = (call.owner ?? call.request)?.attemptId.slice(0, 6) ?? ''
    const reply = result.kind === 'ok' ? (result.output as { word: string; outcome?: string }) : { word: result.kind }
    return `${call.type ?? call.payload} ${attempt} → ${reply.word}`
  })
  return texts.join(' · ') || 'nothing'
}
