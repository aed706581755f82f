import {
  type FunctionCall,
  Oncely,
  type OncelyEvent,
  type OperationOptions,
  type RunResult,
  type Step,
  type StepContext,
  type StepOperation,
} from '../../core/index.ts'
import { nodeClock, nodeHasher, nodeRandom } from '../../platform/index.ts'
import { stepRuntime } from '../../step/index.ts'
import type { TransactionSubject } from '../store-harness.ts'

export type Handler = (context: StepContext<unknown, never>) => Promise<unknown>

/** A process of the suite: one instance over its own connection, with one operation. */
export interface StepProcess {
  readonly oncely: Oncely<never>
  readonly operation: StepOperation<unknown, unknown, never>
  readonly events: OncelyEvent[]
  run(call?: Partial<FunctionCall<unknown>>): Promise<RunResult<unknown>>
}

/** Another side that keeps what it was asked, by key, and answers each key once. */
export class Provider {
  readonly calls: string[] = []
  readonly applied: Map<string, unknown> = new Map()

  /** Applies the call under its key, or answers what it has applied under it. */
  call(key: string, value: unknown): unknown {
    this.calls.push(key)
    if (!this.applied.has(key)) this.applied.set(key, value)
    return this.applied.get(key)
  }
}

/** What a case works with: processes over one set of records, and the user's rows. */
export class StepWorld {
  readonly subject: TransactionSubject
  readonly #started: Oncely<never>[] = []

  constructor(subject: TransactionSubject) {
    this.subject = subject
  }

  /** A process whose handler of version 1 (or of `version`) is this one; older ones stand beside it. */
  async process(
    handler: Handler,
    own: { readonly version?: number; readonly older?: ReadonlyMap<number, Handler>; readonly policy?: object } = {},
  ): Promise<StepProcess> {
    const events: OncelyEvent[] = []
    const store = (await this.subject.harness.reopen()) as TransactionSubject['store']
    const platform = { clock: nodeClock, random: { uuid: nodeRandom.uuid, fraction: () => 0 }, hasher: nodeHasher, steps: stepRuntime }
    const oncely = new Oncely<never>(platform, {
      namespace: 'step-suite',
      store,
      limits: { drainMs: 0 },
      events: (event) => void events.push(event),
    })
    this.#started.push(oncely)
    const options = {
      bind: 'steps',
      version: own.version ?? 1,
      policy: ['standard', { survives: 'nothing', ...own.policy }],
    } as unknown as OperationOptions<unknown, unknown, never>
    const operation = oncely.operation('booking', options) as unknown as StepOperation<unknown, unknown, never>
    operation.define(handler)
    for (const [version, older] of own.older ?? []) operation.define(older, { version })
    const run = (call: Partial<FunctionCall<unknown>> = {}): Promise<RunResult<unknown>> =>
      operation.run({ principal: 'alice', key: 'trip-1', input: { trip: 1 }, ...call })
    return { oncely, operation, events, run }
  }

  /** Until nobody holds what runs, and the completer may look at it. */
  lapse(ms: number = 60_000): Promise<void> {
    return this.subject.harness.advance(ms)
  }

  add(step: Step<never>, name: string, undo?: string): Promise<string> {
    const { effects } = this.subject.transactional
    const options = undo === undefined ? {} : { undo: (tx: never) => effects.add(tx, undo) }
    return step.transaction(
      name,
      async (tx) => {
        await effects.add(tx, name)
        return `${name} done`
      },
      options,
    )
  }

  rows(): Promise<readonly string[]> {
    return this.subject.transactional.effects.list()
  }

  async state(process: StepProcess): Promise<string | undefined> {
    return (await process.oncely.read(process.oncely.recordId({ principal: 'alice', key: 'trip-1' })))?.state
  }

  async close(): Promise<void> {
    await Promise.all(this.#started.map((oncely) => oncely.drain()))
  }
}

/** Where a process dies: it never goes on from here. */
function dies(): Promise<never> {
  return new Promise(() => {})
}

/** Runs until the handler has reached the place where it dies. */
export async function runUntilDeath(start: (died: () => Promise<never>) => Promise<StepProcess>): Promise<StepProcess> {
  let reached = (): void => {}
  const death = new Promise<'died'>((resolve) => {
    reached = () => resolve('died')
  })
  const process = await start(() => {
    reached()
    return dies()
  })
  const ended = await Promise.race([process.run(), death])
  if (ended !== 'died') throw new Error(`the process was to die, and answered ${ended.status}`)
  return process
}

export const retryWithKey = { remoteKeyLifetime: '24h', onAmbiguous: 'retry-with-key' } as const
