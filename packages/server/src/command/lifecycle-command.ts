import type { Command } from 'commander'
import { anonymous, ConfigurationError, type Hold, type HoldRequest } from 'oncely'
import { type ExitCode, exitCodes, jsonLine, type Surroundings, table } from './console.ts'
import { recordIdOf, type StoreOptions, storeCommand, withStore } from './store-option.ts'

type End = (code: ExitCode) => void

interface SaidOptions extends StoreOptions {
  readonly principal?: string
  readonly key?: string
  readonly id?: string
  readonly by?: string
  readonly reason?: string
}

/** `erase`: erases what has ended of one principal's records, and prints a receipt. */
export function eraseCommand({ stdout }: Surroundings, end: End): Command {
  return saidCommand('erase', "erases a principal's records and prints a receipt; what runs, is in doubt or is held stays")
    .requiredOption('--principal <id>', 'the caller ("anonymous" where callers share keys)')
    .action(async (options: SaidOptions) => {
      const receipt = await withStore(options, async (oncely) => {
        await oncely.open()
        return oncely.erase({ principal: principalOf(options.principal), ...said(options) })
      })
      stdout.write(options.json === true ? jsonLine(receipt) : table(Object.entries(receipt).map(([name, value]) => [name, String(value)])))
      end(receipt.held + receipt.kept === 0 ? exitCodes.done : exitCodes.refused)
    })
}

/** `hold`: places, lifts and lists legal holds. */
export function holdCommand({ stdout }: Surroundings, end: End): Command {
  return saidCommand('hold', 'places a legal hold on a record or a principal, lifts it, or lists those in force')
    .option('--principal <id>', 'every record of this caller, also those to come …')
    .option('--key <key>', '… or the one with this key')
    .option('--id <hex>', 'or the record, as 64 hexadecimal digits')
    .option('--lift', 'end the hold: the records go by their own policy again')
    .option('--list', 'print the holds in force')
    .action(async (options: SaidOptions & { readonly lift?: boolean; readonly list?: boolean }) => {
      const { lift = false, list = false, json = false } = options
      end(
        await withStore(options, async (oncely) => {
          await oncely.open()
          if (list) {
            const holds = (await oncely.holds()).map(holdLine)
            stdout.write(json ? jsonLine(holds) : holds.map((hold) => `${Object.values(hold).join('  ')}\n`).join(''))
            return exitCodes.done
          }
          const target: HoldRequest =
            options.id !== undefined || options.key !== undefined
              ? { record: recordIdOf(oncely, options) }
              : { principal: principalOf(options.principal) }
          const changed = lift ? await oncely.liftHold(target, said(options)) : await oncely.hold(target, said(options))
          const word = lift ? (changed ? 'lifted' : 'there was no hold') : changed ? 'held' : 'held already'
          stdout.write(json ? jsonLine({ changed, held: !lift }) : `${word}\n`)
          return exitCodes.done
        }),
      )
    })
}

function saidCommand(name: string, description: string): Command {
  return storeCommand(name, description).option('--by <name>', 'who decided it; kept').option('--reason <text>', 'why; kept')
}

function said({ by, reason }: SaidOptions): { readonly by: string; readonly reason: string } {
  if (by === undefined || reason === undefined) throw new ConfigurationError('Give --by and --reason: both are kept.')
  return { by, reason }
}

function principalOf(principal: string | undefined): string | typeof anonymous {
  if (principal === undefined) throw new ConfigurationError('No principal is named. Give --principal.')
  return principal === 'anonymous' ? anonymous : principal
}

function holdLine({ target, placedAtMs, by, reason }: Hold): Readonly<Record<'since' | 'kind' | 'digest' | 'by' | 'reason', string>> {
  const [kind, digest] = 'record' in target ? ['record', target.record] : ['principal', target.principal]
  return {
    since: new Date(placedAtMs).toISOString(),
    kind: kind as string,
    digest: Buffer.from(digest as Uint8Array).toString('hex'),
    by,
    reason,
  }
}
