import { ConfigurationError } from '../../core/index.ts'
import { migrations } from './migrations/index.ts'
import { placed, qualified, sqlPlace } from './sql-name.ts'

/** What a role is for. */
export type RoleUse = 'application' | 'operator'

type Rights = Readonly<Record<string, string>>

/** Claims, completes, sweeps, erases; sends, receives and steps. The trail is append-only for it: it adds lines and counts, and changes and removes none. */
const application: Rights = {
  migrations: 'SELECT',
  instance: 'SELECT, UPDATE',
  operations: 'SELECT, INSERT',
  policies: 'SELECT, INSERT',
  keys: 'SELECT, INSERT, UPDATE, DELETE',
  outcomes: 'SELECT, INSERT, DELETE',
  open: 'SELECT, INSERT, UPDATE, DELETE',
  events: 'SELECT, INSERT, UPDATE (count)',
  holds: 'SELECT',
  held_keys: 'SELECT, INSERT, UPDATE',
  held_outcomes: 'SELECT',
  held_events: 'SELECT',
  outbox: 'SELECT, INSERT, UPDATE, DELETE',
  outbox_buckets: 'SELECT, INSERT, UPDATE, DELETE',
  outbox_held: 'SELECT, INSERT, UPDATE, DELETE',
  inbox: 'SELECT, INSERT, UPDATE, DELETE',
  dead_letters: 'SELECT, INSERT, UPDATE, DELETE',
  parked: 'SELECT, INSERT, UPDATE, DELETE',
  inbox_offsets: 'SELECT, INSERT, UPDATE, DELETE',
  seen: 'SELECT, INSERT, UPDATE, DELETE',
  seen_counts: 'SELECT, INSERT, UPDATE, DELETE',
  steps: 'SELECT, INSERT, UPDATE, DELETE',
}

/** Also places and lifts legal holds. */
const operator: Rights = {
  ...application,
  holds: 'SELECT, INSERT, DELETE',
  held_keys: 'SELECT, INSERT, UPDATE, DELETE',
  held_outcomes: 'SELECT, DELETE',
  held_events: 'SELECT, DELETE',
}

/**
 * The SQL that gives a role what it needs to run the store and nothing else, to be run by the owner of the schema after the
 * migrations; running it again changes nothing. Nobody else may call the functions afterwards. Migrations and partitions stay the
 * owner's: run `oncely sweep` as the owner once a day, or the default partitions hold all.
 *
 * @throws ConfigurationError when a name is more than a name.
 */
export function printGrants(options: {
  readonly role: string
  readonly use?: RoleUse
  readonly schema?: string
  readonly prefix?: string
}): string {
  const { role, use = 'application' } = options
  const place = sqlPlace(options.schema ?? 'public', options.prefix ?? 'oncely_')
  if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/.test(role))
    throw new ConfigurationError(
      `role ${JSON.stringify(role)} is refused: use 1 to 63 letters, digits, "_", "." or "-", the first a letter or "_".`,
    )
  if (use !== 'application' && use !== 'operator')
    throw new ConfigurationError(`use is ${JSON.stringify(use)}; it must be application or operator.`)
  const functions = functionNames()
    .map((name) => qualified(place, name))
    .join(', ')
  const tables = Object.entries(use === 'operator' ? operator : application)
  const statements = [
    'BEGIN',
    `REVOKE EXECUTE ON FUNCTION ${functions} FROM PUBLIC`,
    `REVOKE ALL ON ${tables.map(([name]) => qualified(place, name)).join(', ')} FROM "${role}"`,
    `GRANT USAGE ON SCHEMA ${placed('{schema}', place)} TO "${role}"`,
    ...tables.map(([name, rights]) => `GRANT ${rights} ON ${qualified(place, name)} TO "${role}"`),
    `GRANT USAGE ON SEQUENCE ${qualified(place, 'fence')} TO "${role}"`,
    `GRANT EXECUTE ON FUNCTION ${functions} TO "${role}"`,
    'COMMIT',
  ]
  return statements.map((statement) => `${statement};\n`).join('')
}

/** Every function of the migrations; none has two forms, so its name is enough. */
function functionNames(): readonly string[] {
  const text = migrations.flatMap(({ statements }) => statements).join('\n')
  return [...new Set([...text.matchAll(/CREATE (?:OR REPLACE )?FUNCTION \{([a-z_]+)\}/g)].map(([, name]) => name as string))].sort()
}
