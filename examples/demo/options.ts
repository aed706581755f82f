import { parseArgs } from 'node:util'

export interface DemoOptions {
  readonly store: 'sqlite' | 'postgres'
  /** Where PostgreSQL is; the demo makes a schema of its own in it and drops it again. */
  readonly url: string
  readonly payments: number
  readonly customers: number
  readonly kills: number
  /** The same seed breaks the same requests, as far as the machine plays along. */
  readonly seed: number
  readonly serve: boolean
  readonly port: number
  readonly json: boolean
}

/** A flag that cannot be used; its message is all that the user gets to see. */
export class WrongOption extends Error {}

export const help = `npm run demo -- [options]

Breaks a payments API in every way a network and a data centre know, twice: without oncely and with it. An
independent ledger then counts what was booked. Exits with 0 only when the ledger is right with oncely, and
wrong without it.

  --store sqlite|postgres   where payments and records live (sqlite, in a temporary folder)
  --url URL                 the PostgreSQL server (else $ONCELY_DEMO_POSTGRES_URL)
  --payments N              payments that customers ask for in each run (200)
  --customers N             customers who pay at the same time (16)
  --kills N                 times the API process is killed in each run, at least 5 (5)
  --seed N                  seed of the faults (1)
  --serve                   no faults: keeps the API up and prints curl lines to play with
  --port N                  port of --serve (any free one)
  --json                    prints the result as one JSON object
  --help                    this text
`

export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const values = parse(args)
  if (values.help === true) return 'help'
  const store = values.store ?? 'sqlite'
  if (store !== 'sqlite' && store !== 'postgres') throw new WrongOption(`--store is "${store}"; it must be sqlite or postgres.`)
  const url = values.url ?? process.env['ONCELY_DEMO_POSTGRES_URL'] ?? ''
  if (store === 'sqlite' && values.url !== undefined) throw new WrongOption('--url is for --store postgres.')
  if (store === 'postgres' && url === '') {
    throw new WrongOption('--store postgres needs --url postgres://user@host:port/database, or ONCELY_DEMO_POSTGRES_URL.')
  }
  if (values.port !== undefined && values.serve !== true) throw new WrongOption('--port is for --serve.')
  if (values.json === true && values.serve === true)
    throw new WrongOption('--json has nothing to print with --serve; leave one of them out.')
  return {
    store,
    url,
    payments: wholeNumber('payments', values.payments, { preset: 200, min: 50, max: 100_000 }),
    customers: wholeNumber('customers', values.customers, { preset: 16, min: 1, max: 200 }),
    kills: wholeNumber('kills', values.kills, { preset: 5, min: 5, max: 50 }),
    seed: wholeNumber('seed', values.seed, { preset: 1, min: 0, max: 4_294_967_295 }),
    serve: values.serve ?? false,
    port: wholeNumber('port', values.port, { preset: 0, min: 0, max: 65_535 }),
    json: values.json ?? false,
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        store: text,
        url: text,
        payments: text,
        customers: text,
        kills: text,
        seed: text,
        port: text,
        serve: flag,
        json: flag,
        help: { ...flag, short: 'h' },
      },
    }).values
  } catch (error) {
    throw new WrongOption(error instanceof Error ? error.message : String(error))
  }
}

function wholeNumber(
  name: string,
  text: string | undefined,
  bound: { readonly preset: number; readonly min: number; readonly max: number },
): number {
  if (text === undefined) return bound.preset
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= bound.min && value <= bound.max) return value
  throw new WrongOption(`--${name} is "${text}"; it must be a whole number from ${bound.min} to ${bound.max}.`)
}
