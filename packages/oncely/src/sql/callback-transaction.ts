import type { SqlClosed, SqlEnding, SqlLayer, SqlOpening, SqlRows } from '../core/index.ts'

/**
 * The transaction of a data layer that commits when its callback returns and rolls back when it throws. The opening statements are
 * its first message and the closing ones its last: two round trips more than the user's own statements take.
 *
 *   open ──▶ opening ──▶ body ──commit────▶ closing ──▶ the layer commits
 *                          └─roll-back─▶ throw ──▶ the layer rolls back ──▶ statement, on any connection
 *
 * `open` begins the transaction, calls its argument once with the layer's handle and ends the transaction.
 */
export async function callbackTransaction<Tx, R>(
  layer: Pick<SqlLayer<Tx>, 'run' | 'query'>,
  open: (inside: (tx: Tx) => Promise<void>) => Promise<unknown>,
  opening: SqlOpening,
  body: (tx: Tx, opened: SqlRows) => Promise<SqlEnding<R>>,
): Promise<SqlClosed<R>> {
  // An object, because the compiler does not see what a callback assigns.
  const progress: { ending?: SqlEnding<R>; rows?: SqlRows } = {}
  try {
    await open(async (tx) => {
      const ending = await body(tx, await layer.run(tx, opening.statements))
      progress.ending = ending
      if (ending.end === 'roll-back') throw new RollBack()
      // These layers hide the server's answer to COMMIT, and a COMMIT of a failed transaction rolls it back without an error: a
      // statement before it is what fails then.
      const closing = ending.statements.length === 0 ? ['SELECT 1'] : ending.statements
      progress.rows = await layer.run(tx, closing)
    })
  } catch (error) {
    const { ending } = progress
    // Whatever the roll-back of a lost connection says: nothing of it was committed.
    if (ending?.end !== 'roll-back') throw error
    const { statement, value } = ending
    return { value, ended: 'rolled-back', rows: statement === undefined ? undefined : await layer.query(statement).catch(() => undefined) }
  }
  const { ending, rows } = progress
  if (ending === undefined) throw new TypeError('the data layer ended a transaction without calling its function')
  return { value: ending.value, ended: 'committed', rows: 'statements' in ending && ending.statements.length > 0 ? rows : undefined }
}

/** Thrown through the data layer, which rolls back for any error; never seen by a caller. */
class RollBack extends Error {
  override readonly name = 'RollBack'

  constructor() {
    super('Rolled back, because the work inside said so.')
  }
}
