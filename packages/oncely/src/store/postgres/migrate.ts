import { type SqlLayer, type SqlRows, StoreSchemaMismatch } from '../../core/index.ts'
import { type AppliedMigration, appliedMigrations, checksumOf, type Migration, migrationsFrom, missingMigrations } from '../../sql/index.ts'
import { migrations } from './migrations/index.ts'
import { errorFacts, schemaMissing } from './postgres-error.ts'
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
      const applied = appliedMigrations(await run(appliedStatement(place)))
      for (const migration of missingMigrations(applied, migrations, schemaOf(place))) {
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
  let applied: readonly AppliedMigration[]
  try {
    applied = appliedMigrations(await layer.query(appliedStatement(place)))
  } catch (error) {
    if (['42P01', '3F000'].includes(errorFacts(error).sqlState ?? '')) throw schemaMissing(place, error)
    throw error
  }
  const missing = missingMigrations(applied, migrations, schemaOf(place))
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
  const { from = 1 } = options
  const head = from === 1 ? [`CREATE SCHEMA IF NOT EXISTS "${place.schema}"`, journal(place)] : []
  const steps = migrationsFrom(migrations, from).flatMap((migration) => [...migration.statements, journalEntry(migration)])
  const statements = ['BEGIN', lockStatement(place), ...head, ...steps.map((statement) => placed(statement, place)), 'COMMIT']
  return statements.map((statement) => `${statement};\n`).join('\n')
}

function schemaOf({ schema }: SqlPlace): string {
  return `schema "${schema}"`
}

function appliedStatement(place: SqlPlace): string {
  return `SELECT number, name, checksum, breaking FROM ${qualified(place, 'migrations')} ORDER BY number`
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
    `This role may not change schema "${place.schema}": hand printMigrations() to whoever may, then printGrants() for this role.`,
    { cause: error },
  )
}
