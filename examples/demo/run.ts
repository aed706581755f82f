import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApiSettings } from './api.ts'
import type { BankLocation } from './bank.ts'
import { type Child, startChild } from './child-process.ts'
import { type Experience, makeOrders, payAll } from './customers.ts'
import { FaultProxy } from './fault-proxy.ts'
import type { Audit, Effect, LedgerSettings } from './ledger.ts'
import type { DemoOptions } from './options.ts'
import type { Progress } from './progress.ts'
import type { ProviderSettings } from './provider.ts'
import { seededRandom } from './seeded-random.ts'

export interface RunResult {
  readonly protect: boolean
  readonly seconds: number
  readonly kills: number
  readonly faults: Readonly<FaultProxy['counts']>
  readonly customers: Readonly<Experience>
  readonly audits: Readonly<Record<Effect, Audit>>
}

/** One run: everything is started anew, broken while customers pay, and judged by the ledger. */
export async function runOnce(
  options: DemoOptions,
  protect: boolean,
  folder: string,
  bank: BankLocation,
  progress: Progress,
): Promise<RunResult> {
  const startedMs = performance.now()
  mkdirSync(folder, { recursive: true })
  const providerFile = join(folder, 'provider.jsonl')
  const provider = await startChild('provider', { file: providerFile } satisfies ProviderSettings)
  const startApi = (): Promise<Child> =>
    startChild('api', { bank, providerUrl: `http://127.0.0.1:${provider.port}`, protect, port: 0 } satisfies ApiSettings)
  const startLedger = (): Promise<Child> =>
    startChild('ledger', { file: join(folder, 'ledger.jsonl'), bank, providerFile } satisfies LedgerSettings)
  const [firstApi, ledger] = await Promise.all([startApi(), startLedger()])
  let api = firstApi

  const draw = seededRandom(options.seed)
  const proxy = new FaultProxy(draw, () => api.port)
  const url = `http://127.0.0.1:${await proxy.listen()}`
  const orders = makeOrders(options.payments, draw)
  const customers: Experience = { ended: 0, attempts: 0, replayed: 0, uncertain: 0, refusals: [] }
  let kills = 0
  const killing = async (): Promise<void> => {
    for (const dueAt of killTimes(options)) {
      // In the middle of work, never between two requests.
      while (customers.ended < options.payments && (customers.ended < dueAt || proxy.running === 0)) {
        progress.show(customers.ended, options.payments, kills)
        await delay(5)
      }
      if (customers.ended === options.payments) return
      await api.kill()
      kills++
      api = await startApi()
    }
    while (customers.ended < options.payments) {
      progress.show(customers.ended, options.payments, kills)
      await delay(20)
    }
  }
  await Promise.all([payAll(orders, options.customers, url, ledger, customers), killing()])
  await proxy.settle()
  progress.show(customers.ended, options.payments, kills)
  proxy.close()
  await api.kill()
  const audits = await ledger.ask<RunResult['audits']>('audit')
  await Promise.all([provider.kill(), ledger.kill()])
  return { protect, seconds: (performance.now() - startedMs) / 1_000, kills, faults: proxy.counts, customers, audits }
}

/** After how many ended payments each kill is due: evenly over the run, whatever the machine's speed. */
function killTimes({ payments, kills }: DemoOptions): number[] {
  return Array.from({ length: kills }, (_, index) => Math.floor((payments * (index + 1)) / (kills + 1)))
}
