import { ConfigurationError, type SqlLayer, type SqlRows, StoreSchemaMismatch, StoreUnavailable } from '../../core/index.ts'
import {
  type AppliedMigration,
  appliedMigrations,
  checksumOf,
  type Migration,
  migrationsFrom,
  missingMigrations,
  numberOf,
} from '../../sql/index.ts'
import { migrations } from './migrations/index.ts'
import { errorFacts, schemaMissing } from './mysql-error.ts'
import { placed, quoted, type SqlPlace, sqlPlace } from './sql-name.ts'

/** How long one process waits for another's migration. */
const waitSeconds = 60

/** What procedures run under: the mode of their creation is kept with them. */
const strictMode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'

/**
 * Brings the schema up to date under one lock of the server: processes that start at once wait for the first, and find nothing left
 * to do. A schema statement commits by itself, so the journal is written when a migration has run whole, and one that was cut short
 * runs again.
 */
export async function migrate<Tx>(layer: SqlLayer<Tx>, place: SqlPlace): Promise<void> {
  const { value: failure } = await layer.transaction<unknown>(
    { isolation: 'default', statements: [lockStatement(place)] },
    async (tx, locked) => {
      const run = (statement: string): Promise<SqlRows> => layer.run(tx, [statement])
      if (locked.rows[0]?.['locked'] === null) return { end: 'roll-back', statement: undefined, value: noDatabase(layer.name) }
      if (numberOf(locked.rows[0]?.['locked']) !== 1) return { end: 'roll-back', statement: undefined, value: waitedTooLong() }
      let failure: unknown
      try {
        await run(`SET @oncely_mode = @@SESSION.sql_mode, SESSION sql_mode = '${strictMode}'`)
        await run(journal(place))
        const applied = appliedMigrations(await run(appliedStatement(place)))
        for (const migration of missingMigrations(applied, migrations, tablesOf(place))) {
          for (const statement of [...migration.statements, journalEntry(migration)]) await run(placed(statement, place))
          await run('COMMIT')
        }
      } catch (error) {
        failure = fail(error)
      }
      // Without its connection there is no session left to put back.
      await run('SET SESSION sql_mode = @oncely_mode').catch(() => {})
      return { end: 'roll-back', statement: unlockStatement(place), value: failure }
    },
  )
  if (failure !== undefined) throw failure
}

/** Refuses a schema that this version does not read; one round trip. */
export async function checkSchema<Tx>(layer: SqlLayer<Tx>, place: SqlPlace): Promise<void> {
  let applied: readonly AppliedMigration[]
  try {
    applied = appliedMigrations(await layer.query(appliedStatement(place)))
  } catch (error) {
    if ([1046, 1049, 1146].includes(errorFacts(error).number ?? 0)) throw schemaMissing(place, error)
    throw error
  }
  const missing = missingMigrations(applied, migrations, tablesOf(place))
  if (missing.length === 0) return
  throw new StoreSchemaMismatch(
    `The database has ${applied.length} of ${migrations.length} migrations of "${place.prefix}…"; missing: ${missing.map(({ name }) => name).join(', ')}. Run store.migrate(), or hand printMigrations() to whoever may change the schema.`,
  )
}

/**
 * The SQL of every migration for the `mysql` or `mariadb` program, for whoever may change the schema; on an empty database or on one
 * that has the first migrations (`from` is the number of the first one wanted). It can be run again after it was cut short.
 */
export function printMigrations(options: { readonly prefix?: string; readonly from?: number } = {}): string {
  const place = sqlPlace(options.prefix ?? 'oncely_')
  const { from = 1 } = options
  const steps = migrationsFrom(migrations, from).flatMap((migration) => [...migration.statements, journalEntry(migration)])
  const statements = [
    lockStatement(place),
    `SET @oncely_mode = @@SESSION.sql_mode, SESSION sql_mode = '${strictMode}'`,
    journal(place),
    ...steps.map((statement) => placed(statement, place)),
    'COMMIT',
    'SET SESSION sql_mode = @oncely_mode',
    unlockStatement(place),
  ]
  return ['DELIMITER $$\n', ...statements.map((statement) => `${statement}$$\n`), 'DELIMITER ;\n'].join('\n')
}

function tablesOf({ prefix }: SqlPlace): string {
  return `the tables "${prefix}…"`
}

function appliedStatement(place: SqlPlace): string {
  return `SELECT number, name, checksum, breaking FROM ${quoted(place, 'migrations')} ORDER BY number`
}

function journal(place: SqlPlace): string {
  return `CREATE TABLE IF NOT EXISTS ${quoted(place, 'migrations')} (
  number INT NOT NULL PRIMARY KEY,
  name VARCHAR(64) NOT NULL,
  checksum CHAR(64) NOT NULL,
  breaking TINYINT NOT NULL,
  applied DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin`
}

function journalEntry(migration: Migration): string {
  const { number, name, breaking } = migration
  return `INSERT INTO {migrations} (number, name, checksum, breaking, applied)
VALUES (${number}, '${name}', '${checksumOf(migration)}', ${breaking ? 1 : 0}, UTC_TIMESTAMP(6))`
}

/** Names of locks belong to the whole server and end at 64 characters. */
function lockName(place: SqlPlace): string {
  return `CONCAT('oncely migrations ', SHA1(CONCAT(DATABASE(), '.${place.prefix}')))`
}

function lockStatement(place: SqlPlace): string {
  return `SELECT GET_LOCK(${lockName(place)}, ${waitSeconds}) AS locked`
}

function unlockStatement(place: SqlPlace): string {
  return `SELECT RELEASE_LOCK(${lockName(place)}) AS released`
}

function noDatabase(layer: string): ConfigurationError {
  return new ConfigurationError(`The connections of ${layer} name no database, in which the tables could be: give the pool one.`)
}

function waitedTooLong(): StoreUnavailable {
  return new StoreUnavailable(
    `Another process holds the lock of the migrations for more than ${waitSeconds} s; nothing was changed. Look for a migration that hangs, then start again.`,
    { applied: 'no' },
  )
}

function fail(error: unknown): unknown {
  if (![1044, 1142, 1227, 1370, 1419].includes(errorFacts(error).number ?? 0)) return error
  return new StoreSchemaMismatch(
    'This user may not change the database: hand printMigrations() to whoever may, then grant this user SELECT, INSERT, UPDATE, DELETE and EXECUTE.',
    { cause: error },
  )
}
