import { existsSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { anonymous, ConfigurationError, createOncely, type Oncely } from 'oncely'
import { defaultStoreUrl, type NamedStore, namedStore } from '../store/named-store.ts'

/** Options of every command that works on a store. */
export interface StoreOptions {
  readonly store: string
  readonly namespace: string
  readonly json?: boolean
}

/** Options that name one record. */
export interface RecordOptions extends StoreOptions {
  readonly id?: string
  readonly principal?: string
  readonly key?: string
}

/** A command with the options of a store. */
export function storeCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(new Option('--store <url>', 'sqlite:FILE or postgres://…').env('ONCELY_STORE').default(defaultStoreUrl))
    .option('--namespace <name>', 'the namespace of the records', 'gateway')
    .option('--json', 'print JSON')
}

/** A command with the options that name a record. */
export function recordCommand(name: string, description: string): Command {
  return storeCommand(name, description)
    .option('--id <hex>', 'the record, as 64 hexadecimal digits')
    .option('--principal <id>', 'or its caller ("anonymous" where callers share keys) …')
    .option('--key <key>', '… and its key')
}

/** A whole number of an option. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** Opens an existing store for one piece of work and closes it again. A file that is not there is not made by looking at it. */
export async function withStore<Result>(
  { store: url, namespace }: StoreOptions,
  work: (oncely: Oncely<never>, named: NamedStore) => Promise<Result>,
  options: { readonly create?: boolean } = {},
): Promise<Result> {
  const path = url.startsWith('sqlite:') ? url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '') : undefined
  if (options.create !== true && path !== undefined && path !== '' && !existsSync(path))
    throw new ConfigurationError(
      `--store ${url}: there is no such file. Name the gateway's file, or make one with: oncely migrate --store ${url}`,
    )
  const named = await namedStore(url)
  try {
    return await work(createOncely({ namespace, store: named.store }) as unknown as Oncely<never>, named)
  } finally {
    await named.close().catch(() => {})
  }
}

/** The id of the record that the options name. */
export function recordIdOf(oncely: Oncely<never>, { id, principal, key }: RecordOptions): Uint8Array {
  if (id !== undefined) {
    if (principal !== undefined || key !== undefined) throw new ConfigurationError('Give --id, or --principal with --key; not both.')
    if (!/^[0-9a-f]{64}$/i.test(id))
      throw new ConfigurationError(`--id has ${id.length} characters; a record's id is 64 hexadecimal digits.`)
    return Buffer.from(id, 'hex')
  }
  if (principal === undefined || key === undefined) throw new ConfigurationError('No record is named. Give --principal and --key, or --id.')
  return oncely.recordId({ principal: principal === 'anonymous' ? anonymous : principal, key })
}
