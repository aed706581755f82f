import type { Isolation } from './transaction.ts'

/**
 * What a SQL store needs of the user's data layer, so that the user's own transaction handle reaches the handler. A layer is a
 * thin piece of glue: it never retries, never swallows an error of a statement, and never ends a connection it did not open.
 *
 * Statements are complete SQL texts that the store renders itself (numbers, hexadecimal, quoted names); they never hold a
 * placeholder, so every driver passes them through unchanged.
 */
export interface SqlLayer<Tx> {
  /** The data layer's short name, for messages. */
  readonly name: string
  /** The opening statements ride in the message of BEGIN and the closing ones in that of COMMIT: no extra round trip. */
  readonly ridesAlong: boolean
  /**
   * Opens a transaction, runs the opening statements, calls `body` with the handle and the last one's rows, then ends the
   * transaction as `body` says. `body` never rejects. Rejects with the driver's error when opening or committing fails; a
   * roll-back that fails is no error, its connection is given up.
   */
  transaction<R>(opening: SqlOpening, body: (tx: Tx, opened: SqlRows) => Promise<SqlEnding<R>>): Promise<SqlClosed<R>>
  /** Runs statements in the user's transaction, in order and in one message where the driver can; answers the last one's rows. */
  run(tx: Tx, statements: readonly string[]): Promise<SqlRows>
  /** One statement on a connection of its own, committed by itself. */
  query(statement: string, values?: readonly SqlValue[]): Promise<SqlRows>
}

/** A bound parameter, `$1` first. */
export type SqlValue = string | number | boolean | Uint8Array | null

/**
 * The rows of one statement, by column name. Drivers differ in how they read types: 64-bit integers may come as text, number or
 * bigint, bytes as an array of bytes or as `\x` hexadecimal.
 */
export interface SqlRows {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly count: number
  /** Committed on this server, but the wait for its standby was cut short. */
  readonly unreplicated?: boolean
}

export interface SqlOpening {
  readonly isolation: Isolation
  readonly statements: readonly string[]
}

/** How a transaction ends: with closing statements before COMMIT, or by ROLLBACK and, after it, a statement committed by itself. */
export type SqlEnding<R> =
  | { readonly end: 'commit'; readonly statements: readonly string[]; readonly value: R }
  | { readonly end: 'roll-back'; readonly statement: string | undefined; readonly value: R }

export interface SqlClosed<R> {
  readonly value: R
  /**
   * What the server did: a COMMIT in a transaction that had failed rolls it back without an error. `unreplicated`: committed on
   * this server, but the wait for its standby was cut short.
   */
  readonly ended: 'committed' | 'unreplicated' | 'rolled-back'
  /** The rows of the last closing statement, or of the one after the roll-back; undefined when none ran. */
  readonly rows: SqlRows | undefined
}
