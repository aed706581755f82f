import { ConfigurationError, type SqlLayer, type SqlRows, StoreSchemaMismatch, toHex } from '../../core/index.ts'
import { nodeHasher } from '../../platform/index.ts'
import { type Migration, migrations } from './migrations/index.ts'
import { errorFacts, schemaMissing } from './postgres-error.ts'
import { numberOf, textOf } from './row.ts'
import { placed, qualified, type SqlPlace, sqlPlace } from './sql-name.ts'

/**
 * Brings the schema up to date in one transaction under one advisory lock: processes that start at once wait for the first, and
 * find nothing left to do.
 */
export async function migrate<Tx>(layer: SqlLayer<Tx>, place: SqlPlace): Promise<void> {
  const opening = { isolation: 'read-committed', statements: [lockStatement(place)] } as const
  const { value: failure } = await layer.transaction<unknown>(opening, async (tx) => {
    const run = (statement: string): Promise<SqlRows> => layer.run(tx, [statement])
    try {
      if ((await run(`SELECT 1 FROM pg_namespace WHERE nspname = '${place.schema}'`)).rows.length === 0)
        await run(`CREATE SCHEMA "${place.schema}"`)
      if ((await run(`SELECT 1 WHERE to_regclass('${qualified(place, 'migrations')}') IS NULL`)).rows.length === 1)
        await run(journal(place))
      const applied = appliedRows(await run(appliedStatement(place)))
      compare(applied, place)
      for (const migration of migrations.slice(applied.length)) {
        for (const statement of [...migration.statements, journalEntry(migration)]) await run(placed(statement, place))
      }
      return { end: 'commit', statements: [], value: undefined }
    } catch (error) {
      return { end: 'roll-back', statement: undefined, value: fail(error, place) }
    }
  })
  if (failure !== undefined) throw failure
}

/** Refuses a schema that this version does not read; one round trip. */
export async function checkSchema<Tx>(layer: SqlLayer<Tx>, place: SqlPlace): Promise<void> {
  let applied: readonly Applied[]
  try {
    applied = appliedRows(await layer.query(appliedStatement(place)))
  } catch (error) {
    if (['42P01', '3F000'].includes(errorFacts(error).sqlState ?? '')) throw schemaMissing(place, error)
    throw error
  }
  compare(applied, place)
  const missing = migrations.slice(applied.length)
  if (missing.length === 0) return
  throw new StoreSchemaMismatch(
    `Schema "${place.schema}" has ${applied.length} of ${migrations.length} migrations of "${place.prefix}…"; missing: ${missing.map(({ name }) => name).join(', ')}. Run store.migrate(), or hand printMigrations() to whoever may change the schema.`,
  )
}

/**
 * The SQL of every migration, for whoever may change the schema; it runs in one transaction, on an empty schema or on one that
 * has the first migrations (`from` is the number of the first one wanted).
 */
export function printMigrations(options: { readonly schema?: string; readonly prefix?: string; readonly from?: number } = {}): string {
  const place = sqlPlace(options.schema ?? 'public', options.prefix ?? 'oncely_')
  const from = options.from ?? 1
  if (!migrations.some(({ number }) => number === from))
    throw new ConfigurationError(`from is ${from}; migrations have the numbers 1 to ${migrations.length}.`)
  const head = from === 1 ? [`CREATE SCHEMA IF NOT EXISTS "${place.schema}"`, journal(place)] : []
  const steps = migrations.filter(({ number }) => number >= from).flatMap((migration) => [...migration.statements, journalEntry(migration)])
  const statements = ['BEGIN', lockStatement(place), ...head, ...steps.map((statement) => placed(statement, place)), 'COMMIT']
  return statements.map((statement) => `${statement};\n`).join('\n')
}

interface Applied {
  readonly number: number
  readonly name: string
  readonly checksum: string
  readonly breaking: boolean
}

function appliedStatement(place: SqlPlace): string {
  return `SELECT number, name, checksum, breaking FROM ${qualified(place, 'migrations')} ORDER BY number`
}

function appliedRows({ rows }: SqlRows): readonly Applied[] {
  return rows.map((row) => ({
    number: numberOf(row['number']),
    name: textOf(row['name']),
    checksum: textOf(row['checksum']),
    breaking: row['breaking'] === true,
  }))
}

/** What ran must be what is written here; a newer version's additions are fine as long as they do not break this one. */
function compare(applied: readonly Applied[], place: SqlPlace): void {
  for (const [index, { number, name, checksum, breaking }] of applied.entries()) {
    const known = migrations[index]
    if (known === undefined) {
      if (!breaking) continue
      throw new StoreSchemaMismatch(
        `Schema "${place.schema}" has migration ${number} (${name}) of a newer version, which this version cannot work with: update oncely.`,
      )
    }
    if (known.number === number && checksumOf(known) === checksum) continue
    throw new StoreSchemaMismatch(
      `Migration ${number} (${name}) in schema "${place.schema}" is not the one that this version knows: the schema was changed by hand, or by another build.`,
    )
  }
}

function checksumOf({ statements }: Migration): string {
  return toHex(nodeHasher.sha256(new TextEncoder().encode(statements.join(';\n'))))
}

function journal(place: SqlPlace): string {
  return `CREATE TABLE ${qualified(place, 'migrations')} (
  number integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  breaking boolean NOT NULL,
  applied timestamptz NOT NULL DEFAULT clock_timestamp()
)`
}

function journalEntry(migration: Migration): string {
  const { number, name, breaking } = migration
  return `INSERT INTO {migrations} (number, name, checksum, breaking) VALUES (${number}, '${name}', '${checksumOf(migration)}', ${breaking})`
}

function lockStatement(place: SqlPlace): string {
  // Not in the list of columns: Prisma cannot read the type of what the lock answers.
  return `SELECT FROM pg_advisory_xact_lock(hashtextextended('oncely migrations ${place.schema}.${place.prefix}', 0))`
}

function fail(error: unknown, place: SqlPlace): unknown {
  if (errorFacts(error).sqlState !== '42501') return error
  return new StoreSchemaMismatch(
    `This role may not change schema "${place.schema}": hand printMigrations() to whoever may, then grant this role SELECT, INSERT, UPDATE and DELETE on the tables, USAGE on the sequences and EXECUTE on the functions.`,
    { cause: error },
  )
}
