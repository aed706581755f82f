import { expectVersion, optimistic, TransactionConflict } from 'oncely'
import { expect, test } from 'vitest'
import { begin, inPlace, type Place } from '../store/postgres-fixture.ts'

/** Adds one to the counter, with a compare-and-set on its version. */
async function addOne(place: Place, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  const { tx, commit, rollback } = await begin(place.pool)
  try {
    const { rows } = await tx.query(`SELECT value, version FROM "${place.schema}".counter`)
    await meanwhile()
    const { rowCount } = await tx.query(
      `UPDATE "${place.schema}".counter SET value = $1, version = version + 1 WHERE id = 1 AND version = $2`,
      [rows[0].value + 1, rows[0].version],
    )
    expectVersion(rowCount)
  } catch (error) {
    await rollback()
    throw error
  }
  await commit()
}

async function withCounter(place: Place): Promise<() => Promise<number>> {
  await place.pool.query(
    `CREATE TABLE "${place.schema}".counter (id int PRIMARY KEY, value int, version int); INSERT INTO "${place.schema}".counter VALUES (1, 0, 0)`,
  )
  return async () => (await place.sql<{ value: number }>(`SELECT value FROM "${place.schema}".counter`))[0]?.value as number
}

test(
  'eight writers of one row lose no update',
  inPlace(async (place) => {
    const value = await withCounter(place)
    let runs = 0
    const write = () =>
      optimistic(
        async () => {
          runs++
          await addOne(place)
        },
        { attemptsMax: 100 },
      )
    await Promise.all(Array.from({ length: 8 }, write))
    expect(await value()).toBe(8)
    expect(runs).toBeGreaterThanOrEqual(8)
  }),
)

test(
  'a row that is changed under each attempt ends as a conflict, and nothing of the attempts is kept',
  inPlace(async (place) => {
    const value = await withCounter(place)
    const always = optimistic(() => addOne(place, () => addOne(place)), { attemptsMax: 3 })
    await expect(always).rejects.toThrow(TransactionConflict)
    expect(await value()).toBe(3)
  }),
)
