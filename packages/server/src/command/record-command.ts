import type { Command } from 'commander'
import { ConfigurationError, type OncelyRecord } from 'oncely'
import { colorsOf, type ExitCode, exitCodes, jsonLine, type Surroundings, table } from './console.ts'
import { type RecordOptions, recordCommand, recordIdOf, withStore } from './store-option.ts'

interface ResolveOptions extends RecordOptions {
  readonly applied?: string | true
  readonly notApplied?: true
  readonly by?: string
  readonly reason?: string
}

/** `inspect`: what is known about a key, and what happened to it. */
export function inspectCommand(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  return recordCommand('inspect', 'shows a record and its trail; never its payload or its answer').action(
    async (options: RecordOptions) => {
      end(
        await withStore(options, async (oncely) => {
          const id = recordIdOf(oncely, options)
          await oncely.open()
          const record = await oncely.read(id)
          const trail = await oncely.trail(id)
          if (record === undefined && trail.length === 0) return absent(surroundings)
          if (options.json === true) {
            surroundings.stdout.write(jsonLine({ record: record && summary(record), trail }))
            return exitCodes.done
          }
          const { bold, dim } = colorsOf(surroundings)
          if (record === undefined) surroundings.stdout.write('The record is gone; its trail is kept.\n')
          else surroundings.stdout.write(table(Object.entries(summary(record)).map(([name, value]) => [name, String(value)] as const)))
          surroundings.stdout.write(`\n${bold('trail')}\n`)
          for (const { atMs, event, token, owner, reason, count } of trail) {
            const line = [new Date(atMs).toISOString(), event, count > 0 ? `×${count}` : token, owner, reason].filter((part) => part !== '')
            surroundings.stdout.write(`${dim(line[0] ?? '')}  ${line.slice(1).join('  ')}\n`)
          }
          return exitCodes.done
        }),
      )
    },
  )
}

/** `resolve`: decides an uncertain or quarantined record by hand. */
export function resolveCommand(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  return recordCommand('resolve', 'decides an uncertain or quarantined record by hand')
    .option('--applied [json]', 'the effect stands; retries get this JSON with status 200')
    .option('--not-applied', 'the effect does not stand; the key is free again')
    .option('--by <name>', 'who decides, for the audit trail')
    .option('--reason <text>', 'why, for the audit trail')
    .action(async (options: ResolveOptions) => {
      const { by = '', reason = '' } = options
      const decision = { ...decided(options), by, reason }
      end(
        await withStore(options, async (oncely) => {
          const id = recordIdOf(oncely, options)
          await oncely.open()
          const record = await oncely.read(id)
          if (record === undefined) return absent(surroundings)
          const answer = await oncely.resolve(record, decision)
          if (options.json === true) surroundings.stdout.write(jsonLine(answer))
          else surroundings.stdout.write(`${explain(answer)}\n`)
          return answer.word === 'resolved' ? exitCodes.done : exitCodes.refused
        }),
      )
    })
}

function decided({ applied, notApplied }: ResolveOptions): { applied: boolean; value?: unknown } {
  if ((applied === undefined) === (notApplied === undefined))
    throw new ConfigurationError('Say --applied (with the JSON that retries get) or --not-applied; exactly one.')
  if (applied === undefined) return { applied: false }
  if (applied === true) return { applied: true, value: {} }
  try {
    return { applied: true, value: JSON.parse(applied) }
  } catch {
    throw new ConfigurationError(
      `--applied got ${applied.length} characters that are no JSON; write for example --applied '{"id":"pay_1"}'.`,
    )
  }
}

function explain(answer: { readonly word: 'resolved' | 'changed' } | { readonly word: 'early'; readonly retryAfterMs: number }): string {
  switch (answer.word) {
    case 'resolved':
      return 'resolved'
    case 'changed':
      return 'Nothing was changed: the record moved on since it was read. Inspect it again.'
    case 'early':
      return `Nothing was changed: an effect of the last attempt can still arrive. "Not applied" counts in ${Math.ceil(answer.retryAfterMs / 1_000)} s.`
    default:
      return answer satisfies never
  }
}

function absent({ stderr }: Surroundings): ExitCode {
  stderr.write('There is no such record: check --namespace, --principal and --key. A key that was never used has none.\n')
  return exitCodes.absent
}

/** What an operator may see: no digests, no payload, no answer. */
function summary(record: OncelyRecord): Record<string, string | number> {
  const { id, state, operation, attempt, begunAttempt, createdAtMs, token, policy } = record
  return {
    id: Buffer.from(id).toString('hex'),
    state,
    operation,
    policy: policy.name,
    attempt,
    begun: begunAttempt === 0 ? 'no' : `attempt ${begunAttempt}`,
    token: `${token.epoch}:${token.seq}`,
    created: new Date(createdAtMs).toISOString(),
    ...('completedAtMs' in record ? { completed: new Date(record.completedAtMs).toISOString() } : {}),
    ...('leaseEndMs' in record ? { leaseEnd: new Date(record.leaseEndMs).toISOString() } : {}),
    ...('reason' in record ? { reason: record.reason } : {}),
    ...('outcome' in record ? { outcome: record.outcome === undefined ? 'expired' : `${record.outcome.bytes.length} bytes` } : {}),
  }
}
