/**
 * A linearizability checker (Wing and Gong 1993, with Lowe's memoisation): is there one order of the operations, in agreement
 * with real time, in which a sequential object could have given these answers?
 */

/** One operation of a history. Moments are numbers of one order that all clients share (a counter is better than a clock). */
export interface HistoryOperation<Input, Output> {
  readonly input: Input
  readonly invokedAt: number
  /** When the answer was seen; ignored for an unknown one. */
  readonly returnedAt: number
  /** `fail` means that it certainly did nothing; `unknown` that it may take effect at any later time, or never. */
  readonly result: { readonly kind: 'ok'; readonly output: Output } | { readonly kind: 'fail' } | { readonly kind: 'unknown' }
}

/** The sequential object. States are values: a step answers with new ones and never changes the one it is given. */
export interface SequentialModel<State, Input, Output> {
  readonly initial: State
  /** The states that are possible after this operation gave this answer; none when it could not have given it. */
  step(state: State, input: Input, output: Output): readonly State[]
  /** The states that are possible after this operation took effect without an answer. */
  stepUnknown(state: State, input: Input): readonly State[]
  /** Equal text for equal states. */
  keyOf(state: State): string
  /**
   * Equal text for inputs that do the same. Of unanswered operations that do the same only the earliest is tried, which spares
   * the search the repeats of a client that hears nothing.
   */
  inputKeyOf?(input: Input): string
}

export type LinearizabilityVerdict<Input, Output> =
  /** `order` is one that explains every answer. */
  | { readonly verdict: 'linearizable'; readonly order: readonly HistoryOperation<Input, Output>[] }
  /** `order` is the longest that was found; no operation of `stuck` can follow it. */
  | {
      readonly verdict: 'not-linearizable'
      readonly order: readonly HistoryOperation<Input, Output>[]
      readonly stuck: readonly HistoryOperation<Input, Output>[]
    }
  /** More than `statesMax` states were looked at. */
  | { readonly verdict: 'undecided' }

/** One way to go on: this operation next, and the object in this state after it. */
interface Move<State> {
  readonly index: number
  readonly state: State
}

interface Frame<State> {
  readonly taken: number
  readonly moves: readonly Move<State>[]
  next: number
}

/**
 * Checks the history of one object. The history of many independent objects (keys) is linearizable when each one's is, so check
 * them apart. `statesMax` (default one million) bounds the search.
 */
export function checkLinearizable<State, Input, Output>(
  history: readonly HistoryOperation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
  options: { readonly statesMax?: number } = {},
): LinearizabilityVerdict<Input, Output> {
  const operations = history.filter(({ result }) => result.kind !== 'fail').sort((a, b) => a.invokedAt - b.invokedAt)
  return new Search(operations, model).run(options.statesMax ?? 1_000_000)
}

class Search<State, Input, Output> {
  readonly #operations: readonly HistoryOperation<Input, Output>[]
  readonly #model: SequentialModel<State, Input, Output>
  readonly #taken: Uint32Array
  /** The operations with an answer, as a mask over `#taken`. */
  readonly #answered: Uint32Array
  /** By answered operations taken and state: the sets of unanswered ones with which the search has been here. */
  readonly #seen = new Map<string, Uint32Array[]>()
  #states = 0
  /** Answered operations that are not in the order yet. */
  #owed: number

  constructor(operations: readonly HistoryOperation<Input, Output>[], model: SequentialModel<State, Input, Output>) {
    this.#operations = operations
    this.#model = model
    this.#taken = new Uint32Array(Math.ceil(operations.length / 32))
    this.#answered = new Uint32Array(this.#taken.length)
    for (const [index, { result }] of operations.entries())
      if (result.kind === 'ok') (this.#answered[index >> 5] as number) |= 1 << (index & 31)
    this.#owed = operations.filter(({ result }) => result.kind === 'ok').length
  }

  run(statesMax: number): LinearizabilityVerdict<Input, Output> {
    const stack: Frame<State>[] = [{ taken: -1, moves: this.#moves(this.#model.initial), next: 0 }]
    let longest: number[] = []
    for (;;) {
      const frame = stack.at(-1)
      if (this.#owed === 0) return { verdict: 'linearizable', order: this.#named(orderOf(stack)) }
      if (frame === undefined) return { verdict: 'not-linearizable', order: this.#named(longest), stuck: this.#stuckAfter(longest) }
      const move = frame.moves[frame.next++]
      if (move === undefined) {
        stack.pop()
        if (frame.taken >= 0) this.#flip(frame.taken)
        continue
      }
      this.#flip(move.index)
      if (this.#wasHere(move.state)) {
        this.#flip(move.index)
        continue
      }
      if (this.#states >= statesMax) return { verdict: 'undecided' }
      stack.push({ taken: move.index, moves: this.#owed === 0 ? [] : this.#moves(move.state), next: 0 })
      if (stack.length - 1 > longest.length) longest = orderOf(stack)
    }
  }

  /**
   * Whether the search has been in this state with the same answers explained and no more unanswered operations used up: then
   * whatever is possible from here was possible from there.
   */
  #wasHere(state: State): boolean {
    const answered = this.#taken.map((word, at) => word & (this.#answered[at] as number))
    const unanswered = this.#taken.map((word, at) => word & ~(this.#answered[at] as number))
    const key = `${answered.join('.')}|${this.#model.keyOf(state)}`
    const before = this.#seen.get(key)
    if (before?.some((used) => used.every((word, at) => (word & ~(unanswered[at] as number)) === 0))) return true
    this.#states++
    if (before === undefined) this.#seen.set(key, [unanswered])
    else before.push(unanswered)
    return false
  }

  /** What may come next: operations invoked before any of the remaining ones returned. Answered ones are tried first. */
  #moves(state: State): Move<State>[] {
    const answered: Move<State>[] = []
    const unanswered: Move<State>[] = []
    const here = this.#model.keyOf(state)
    const tried = new Set<string>()
    for (const index of this.#open()) {
      const { input, result } = this.#operations[index] as HistoryOperation<Input, Output>
      if (result.kind === 'ok') for (const after of this.#model.step(state, input, result.output)) answered.push({ index, state: after })
      if (result.kind !== 'unknown' || this.#isRepeat(input, tried)) continue
      // An operation without an answer that changes nothing may as well never have happened.
      for (const after of this.#model.stepUnknown(state, input))
        if (this.#model.keyOf(after) !== here) unanswered.push({ index, state: after })
    }
    return [...answered, ...unanswered]
  }

  #isRepeat(input: Input, tried: Set<string>): boolean {
    const key = this.#model.inputKeyOf?.(input)
    if (key === undefined) return false
    if (tried.has(key)) return true
    tried.add(key)
    return false
  }

  #open(): number[] {
    const open: number[] = []
    let firstReturn = Number.POSITIVE_INFINITY
    for (let index = 0; index < this.#operations.length; index++) {
      if (((this.#taken[index >> 5] as number) >>> (index & 31)) & 1) continue
      const { invokedAt, returnedAt, result } = this.#operations[index] as HistoryOperation<Input, Output>
      if (invokedAt > firstReturn) break
      open.push(index)
      if (result.kind === 'ok') firstReturn = Math.min(firstReturn, returnedAt)
    }
    return open
  }

  #flip(index: number): void {
    const bit = 1 << (index & 31)
    const before = this.#taken[index >> 5] as number
    this.#taken[index >> 5] = before ^ bit
    if (this.#operations[index]?.result.kind === 'ok') this.#owed += before & bit ? 1 : -1
  }

  #named(order: readonly number[]): HistoryOperation<Input, Output>[] {
    return order.map((index) => this.#operations[index] as HistoryOperation<Input, Output>)
  }

  #stuckAfter(order: readonly number[]): HistoryOperation<Input, Output>[] {
    for (const index of order) this.#flip(index)
    return this.#named(this.#open()).filter(({ result }) => result.kind === 'ok')
  }
}

function orderOf(stack: readonly Frame<unknown>[]): number[] {
  return stack.map(({ taken }) => taken).filter((index) => index >= 0)
}
