import { ConfigurationError, type SqlRows, StoreSchemaMismatch, toHex } from '../core/index.ts'
import { nodeHasher } from '../platform/index.ts'
import { isTrue, numberOf, textOf } from './row.ts'

/** One step of a schema. Numbers only grow and a published step never changes: its checksum is compared with what ran. */
export interface Migration {
  readonly number: number
  readonly name: string
  /** A process of an older version cannot work on this schema. */
  readonly breaking: boolean
  readonly statements: readonly string[]
}

/** One row of the journal: a step that ran. */
export interface AppliedMigration {
  readonly number: number
  readonly name: string
  readonly checksum: string
  readonly breaking: boolean
}

export function appliedMigrations({ rows }: SqlRows): readonly AppliedMigration[] {
  return rows.map((row) => ({
    number: numberOf(row['number']),
    name: textOf(row['name']),
    checksum: textOf(row['checksum']),
    breaking: isTrue(row['breaking']),
  }))
}

/**
 * The steps that have still to run. `where` names the schema in messages.
 *
 * @throws StoreSchemaMismatch when a step that ran is not the one written here, or is one of a newer version that this one cannot
 *   work with. A newer version's other steps are fine.
 */
export function missingMigrations(
  applied: readonly AppliedMigration[],
  migrations: readonly Migration[],
  where: string,
): readonly Migration[] {
  for (const [index, { number, name, checksum, breaking }] of applied.entries()) {
    const known = migrations[index]
    if (known === undefined) {
      if (!breaking) continue
      throw new StoreSchemaMismatch(
        `Migration ${number} (${name}) of ${where} is of a newer version, which this version cannot work with: update oncely.`,
      )
    }
    if (known.number === number && checksumOf(known) === checksum) continue
    throw new StoreSchemaMismatch(
      `Migration ${number} (${name}) of ${where} is not the one that this version knows: the schema was changed by hand, or by another build.`,
    )
  }
  return migrations.slice(applied.length)
}

/** The steps from a number on, for printing. @throws ConfigurationError for a number that no step has. */
export function migrationsFrom(migrations: readonly Migration[], from: number): readonly Migration[] {
  if (!migrations.some(({ number }) => number === from))
    throw new ConfigurationError(`from is ${from}; migrations have the numbers 1 to ${migrations.length}.`)
  return migrations.filter(({ number }) => number >= from)
}

export function checksumOf({ statements }: Migration): string {
  return toHex(nodeHasher.sha256(new TextEncoder().encode(statements.join(';\n'))))
}
