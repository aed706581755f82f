import { ConfigurationError } from '../../core/index.ts'

/** Where the tables are: in the database of the layer's connections, under a prefix. */
export interface SqlPlace {
  readonly prefix: string
}

/** Checks a prefix, so that it can never be more than a name in the statements it is put into. */
export function sqlPlace(prefix: string): SqlPlace {
  if (!/^[a-z_][a-z0-9_]{0,29}$/.test(prefix)) {
    throw new ConfigurationError(
      `prefix ${JSON.stringify(prefix)} is refused: use 1 to 30 lower-case letters, digits or "_", the first not a digit.`,
    )
  }
  return { prefix }
}

/** The quoted name of one of our tables or procedures. */
export function quoted(place: SqlPlace, name: string): string {
  return `\`${place.prefix}${name}\``
}

/** Puts the prefix into a statement of a migration; the forms are described in `migrations/migration.ts`. */
export function placed(statement: string, place: SqlPlace): string {
  return statement.replaceAll(/\{([#=]?)([a-z_]+)\}/g, (_, form: string, name: string) => {
    if (form === '=') return `'${place.prefix}${name}'`
    return form === '#' ? `\`${name}\`` : quoted(place, name)
  })
}
