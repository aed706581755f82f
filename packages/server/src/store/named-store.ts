import { ConfigurationError, type Store } from 'oncely'
import { postgresStore } from 'oncely/store/postgres'
import { sqliteStore } from 'oncely/store/sqlite'
import { fromPg } from 'oncely/transaction/pg'

/** A store that a URL named, and how to let go of it. */
export interface NamedStore {
  readonly store: Store
  /** The URL without its credentials, for messages. */
  readonly label: string
  close(): Promise<void>
}

export interface NamedStoreOptions {
  /** PostgreSQL: bring the schema up to date when the store opens. SQLite does so by itself. */
  readonly migrate?: boolean
}

/** Where records are kept when nobody says otherwise. */
export const defaultStoreUrl = 'sqlite:oncely.db'

/**
 * The store of a URL: `sqlite:FILE` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE` (with `?schema=NAME` for another schema than
 * `public`). Nothing is opened yet.
 *
 * @throws ConfigurationError for any other URL.
 */
export async function namedStore(url: string, options: NamedStoreOptions = {}): Promise<NamedStore> {
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
    if (path === '') throw new ConfigurationError(`--store ${JSON.stringify(url)} names no file; write sqlite:oncely.db.`)
    const store = sqliteStore({ path })
    return { store, label: `sqlite:${path}`, close: () => store.close() }
  }
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) {
    const parsed = new URL(url)
    const schema = parsed.searchParams.get('schema')
    parsed.searchParams.delete('schema')
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({ connectionString: parsed.href, max: 20, connectionTimeoutMillis: 5_000 })
    // A connection that breaks while it is idle is replaced; the next call tells when there is none.
    pool.on('error', () => {})
    const store = postgresStore(fromPg(pool), {
      ...(schema === null ? {} : { schema }),
      migrate: options.migrate === true ? 'auto' : 'check',
    })
    const close = async (): Promise<void> => {
      await store.close()
      await pool.end()
    }
    return { store, label: `${parsed.protocol}//${parsed.host}${parsed.pathname}`, close }
  }
  // What follows the scheme of a URL that cannot be read may be a password.
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0]
  throw new ConfigurationError(
    `--store ${scheme === undefined ? 'without a scheme' : JSON.stringify(`${scheme}…`)} is unknown; write sqlite:FILE or postgres://USER@HOST:PORT/DATABASE, with / @ : ? # of a name or password percent-encoded.`,
  )
}
