import { ConfigurationError } from '../../core/index.ts'

/** Where the tables are. */
export interface SqlPlace {
  readonly schema: string
  readonly prefix: string
}

/** Checks a schema and a prefix, so that neither can ever be more than a name in the statements they are put into. */
export function sqlPlace(schema: string, prefix: string): SqlPlace {
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(schema)) {
    throw new ConfigurationError(
      `schema ${JSON.stringify(schema)} is refused: use 1 to 63 letters, digits, "_" or "-", the first a letter or "_".`,
    )
  }
  if (!/^[a-z_][a-z0-9_]{0,29}$/.test(prefix)) {
    throw new ConfigurationError(
      `prefix ${JSON.stringify(prefix)} is refused: use 1 to 30 lower-case letters, digits or "_", the first not a digit.`,
    )
  }
  return { schema, prefix }
}

/** The quoted, qualified name of one of our tables or functions. */
export function qualified(place: SqlPlace, name: string): string {
  return `"${place.schema}"."${place.prefix}${name}"`
}

/** Puts schema and prefix into a statement of a migration; the forms are described in `migrations/migration.ts`. */
export function placed(statement: string, place: SqlPlace): string {
  return statement.replaceAll(/\{([#=]?)([a-z_]+)\}/g, (_, form: string, name: string) => {
    if (name === 'schema') return form === '=' ? `'${place.schema}'` : `"${place.schema}"`
    if (form === '#') return `"${place.prefix}${name}"`
    return form === '=' ? `'${place.prefix}${name}'` : qualified(place, name)
  })
}
