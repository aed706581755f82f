import { setTimeout } from 'node:timers/promises'
import { Command } from 'commander'
import { ConfigurationError, createOncely, type Policy, type PolicyName } from 'oncely'
import { memoryStore } from 'oncely/store/memory'
import { printGrants, printMigrations, type RoleUse } from 'oncely/store/postgres'
import { claimsDocument } from '../claims/claims-document.ts'
import { gatewayConfigSchema } from '../config/gateway-config.ts'
import { colorsOf, type ExitCode, exitCodeOf, exitCodes, jsonLine, type Surroundings, table } from './console.ts'
import { type StoreOptions, storeCommand, wholeNumber, withStore } from './store-option.ts'

type End = (code: ExitCode) => void

const presets: readonly PolicyName[] = ['financial', 'standard', 'telemetry']

/** `migrate`: brings a store's schema up to date. */
export function migrateCommand({ stdout }: Surroundings, end: End): Command {
  return storeCommand('migrate', 'makes the store, or brings its schema up to date')
    .option('--print', 'print the SQL for PostgreSQL instead, for whoever may change the schema')
    .action(async (options: StoreOptions & { readonly print?: boolean }) => {
      if (options.print === true) {
        stdout.write(printMigrations(placeOf(options.store)))
        return end(exitCodes.done)
      }
      const label = await withStore(
        options,
        async ({ store }, named) => {
          await store.migrate()
          await store.open()
          return named.label
        },
        { create: true },
      )
      stdout.write(options.json === true ? jsonLine({ store: label, migrated: true }) : `${label} is up to date\n`)
      end(exitCodes.done)
    })
}

/** `stats`: what the store holds, and how it will grow. */
export function statsCommand({ stdout }: Surroundings, end: End): Command {
  return storeCommand('stats', 'prints what the store holds and, on PostgreSQL, how it will grow')
    .option('--days <count>', 'how far the forecast looks', wholeNumber, 30)
    .action(async (options: StoreOptions & { readonly days: number }) => {
      const found = await withStore(options, async (oncely) => {
        await oncely.open()
        const stats = await oncely.stats()
        return oncely.store.usage === undefined ? { stats } : { stats, forecast: await oncely.forecast(options.days) }
      })
      if (options.json === true) stdout.write(jsonLine(found))
      else {
        const { stats, forecast } = found
        stdout.write(table(Object.entries(stats).map(([name, value]) => [name, String(value)])))
        const last = forecast?.days.at(-1)
        if (forecast !== undefined && last !== undefined)
          stdout.write(
            `\nin ${options.days} days, after ${forecast.historyDays} days of history:\n${table([
              ['records', String(last.records)],
              ['trail lines', String(last.trailLines)],
              ['bytes', String(last.bytes)],
              ['new a day now', String(Math.round(forecast.recordsPerDay))],
            ])}`,
          )
      }
      end(exitCodes.done)
    })
}

/** `grants`: the SQL that gives a PostgreSQL role what it needs, and nothing else. */
export function grantsCommand({ stdout }: Surroundings, end: End): Command {
  return storeCommand('grants', 'prints the SQL that gives a role of PostgreSQL the rights it needs, and no others')
    .requiredOption('--role <name>', 'the role that the application, or an operator, connects as')
    .option('--use <use>', 'application, or operator (also places and lifts legal holds)', 'application')
    .action((options: StoreOptions & { readonly role: string; readonly use: string }) => {
      stdout.write(printGrants({ role: options.role, use: options.use as RoleUse, ...placeOf(options.store) }))
      end(exitCodes.done)
    })
}

/** Where a PostgreSQL URL keeps the tables. */
function placeOf(store: string): { readonly schema?: string } {
  if (!/^postgres(ql)?:\/\//.test(store) || !URL.canParse(store))
    throw new ConfigurationError(
      'Only PostgreSQL has SQL to print: give --store postgres://… (with ?schema=NAME where it is another than public).',
    )
  const schema = new URL(store).searchParams.get('schema')
  return schema === null ? {} : { schema }
}

/** `sweep`: removes what has outlived its own policy. */
export function sweepCommand({ stdout, stderr }: Surroundings, end: End): Command {
  return storeCommand('sweep', 'removes records that have outlived their own policy')
    .option('--batches <count>', 'at most so many batches of 5,000', wholeNumber, 1_000)
    .option('--pause-ms <ms>', 'rest between two batches', wholeNumber, 0)
    .action(async (options: StoreOptions & { readonly batches: number; readonly pauseMs: number }) => {
      const removed = await withStore(options, async (oncely) => {
        await oncely.open()
        let sum = 0
        for (let batch = 0; batch < options.batches; batch++) {
          const answer = await oncely.sweep()
          sum += answer.removed
          if (answer.removed === 0) break
          stderr.write(`oncely sweep: ${sum} records removed so far\n`)
          if (options.pauseMs > 0) await setTimeout(options.pauseMs)
        }
        return sum
      })
      stdout.write(options.json === true ? jsonLine({ removed }) : `${removed} records removed\n`)
      end(exitCodes.done)
    })
}

/** `policy`: every number of a policy, defaults included. */
export function policyCommand({ stdout }: Surroundings, end: End): Command {
  return new Command('policy')
    .description('prints what a policy means, every default included')
    .argument('[name]', presets.join(', '))
    .option('--json', 'print JSON')
    .action((name: string | undefined, options: { readonly json?: boolean }) => {
      const policies = (name === undefined ? presets : [name as PolicyName]).map(policyNamed)
      if (options.json === true) for (const policy of policies) stdout.write(jsonLine(policy))
      else stdout.write(policies.map((policy) => table(Object.entries(policy).map(([key, value]) => [key, shown(key, value)]))).join('\n'))
      end(exitCodes.done)
    })
}

/** `schema`: what a configuration file of the gateway may say. */
export function schemaCommand({ stdout }: Surroundings, end: End): Command {
  return new Command('schema')
    .description("prints the JSON Schema of the gateway's configuration file, or the OpenAPI document of the claims API")
    .option('--claims', 'the OpenAPI document of the claims API')
    .action((options: { readonly claims?: true }) => {
      stdout.write(`${JSON.stringify(options.claims === true ? claimsDocument() : gatewayConfigSchema(), null, 2)}\n`)
      end(exitCodes.done)
    })
}

function policyNamed(name: PolicyName): Policy {
  return createOncely({ namespace: 'policy', store: memoryStore() }).operation('policy', { bind: 'lease', policy: name }).definition.policy
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const

function shown(name: string, value: unknown): string {
  if (!name.endsWith('Ms') || typeof value !== 'number') return String(value)
  const [unit, ms] = units.find(([, candidate]) => value >= candidate && value % candidate === 0) ?? units[4]
  return `${value / ms} ${unit}`
}

interface Check {
  readonly check: string
  readonly verdict: 'ok' | 'warning' | 'failed'
  readonly detail: string
}

/** `doctor`: reads the store that is really there, and says what it can promise. */
export function doctorCommand(surroundings: Surroundings, end: End): Command {
  return storeCommand('doctor', 'checks what the store can promise')
    .option('--policy <name>', 'the policy that it must be strong enough for', 'standard')
    .action(async (options: StoreOptions & { readonly policy: string }) => {
      policyNamed(options.policy as PolicyName)
      const checks = await withStore(options, async (oncely) => {
        const { survives, survivesBecause } = await oncely.store.open()
        const found: Check[] = [
          { check: 'store', verdict: 'ok', detail: 'it answers, and its schema is the one of this version' },
          { check: 'survives', verdict: 'ok', detail: `${survives}: ${survivesBecause}` },
        ]
        oncely.operation('doctor', { bind: 'lease', policy: options.policy as PolicyName })
        const strong: Check = await oncely.open().then(
          () => ({ check: 'policy', verdict: 'ok', detail: `strong enough for ${options.policy}` }),
          (error: unknown) => {
            if (exitCodeOf(error) !== exitCodes.store) throw error
            return { check: 'policy', verdict: 'failed', detail: (error as Error).message }
          },
        )
        const { uncertain, quarantined, running, records } = await oncely.stats()
        found.push(strong, { check: 'records', verdict: 'ok', detail: `${records} records, ${running} running` })
        found.push(waiting('uncertain', uncertain), waiting('quarantined', quarantined))
        return found
      })
      const { green, red, yellow } = colorsOf(surroundings)
      const colors = { ok: green, warning: yellow, failed: red }
      if (options.json === true) surroundings.stdout.write(jsonLine(checks))
      else
        for (const { check, verdict, detail } of checks)
          surroundings.stdout.write(`${colors[verdict](verdict.padEnd(7))}  ${check.padEnd(11)}  ${detail}\n`)
      end(checks.some(({ verdict }) => verdict === 'failed') ? exitCodes.refused : exitCodes.done)
    })
}

function waiting(state: 'uncertain' | 'quarantined', count: number): Check {
  return count === 0
    ? { check: state, verdict: 'ok', detail: 'none' }
    : { check: state, verdict: 'warning', detail: `${count} wait for a decision: oncely inspect, then oncely resolve` }
}
