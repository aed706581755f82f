import type { StorageUsage } from '../../core/index.ts'
import { numberOf, onlyRow, type Row, textOf } from '../../sql/index.ts'
import type { StoreFunctions } from './store-function.ts'

const dayMs = 86_400_000

/** Reads how the store came to what it holds. It scans the trail of eight weeks and the records of one, so it is no request's business. */
export async function storageUsage<Tx>(functions: StoreFunctions<Tx>, trailDays: number): Promise<StorageUsage> {
  const name = (table: string): string => functions.nameOf(table)
  const read = (statement: string): Promise<readonly Row[]> => functions.rows('its usage', statement).then(({ rows }) => rows)
  const sizeOf = (parent: string): string =>
    `(SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0) FROM pg_partition_tree('${name(parent)}') t)`
  const totals = onlyRow({
    rows: await read(`SELECT ${name('now_ms')}() AS at, (SELECT count(*) FROM ${name('keys')}) AS records, pg_total_relation_size('${name('keys')}') AS record_bytes,
  (SELECT count(*) FROM ${name('outcomes')}) AS outcomes, ${sizeOf('outcomes')} AS outcome_bytes,
  (SELECT count(*) FROM ${name('events')}) AS lines, ${sizeOf('events')} AS line_bytes`),
    count: 1,
  })
  const atMs = numberOf(totals['at'])
  const completions =
    await read(`SELECT e.day - DATE '1970-01-01' AS day, count(*) FILTER (WHERE e.event = 'completed') AS completed, count(*) AS lines
FROM ${name('events')} e WHERE e.day >= ${name('day_of')}(${atMs - 56 * dayMs}) GROUP BY 1 ORDER BY 1`)
  const policies = await read(`SELECT p.name, p.retention_ms, p.tombstone_ms,
  (SELECT count(*) FROM ${name('keys')} k WHERE k.policy = p.id AND k.created > ${atMs - 7 * dayMs}) AS recently
FROM ${name('policies')} p ORDER BY p.id`)
  const sum = (column: string): number => completions.reduce((total, row) => total + numberOf(row[column]), 0)
  return {
    atMs,
    completions: completions.map((row) => ({ day: numberOf(row['day']), count: numberOf(row['completed']) })),
    policies: policies.map((row) => ({
      name: textOf(row['name']),
      retentionMs: numberOf(row['retention_ms']),
      tombstoneMs: numberOf(row['tombstone_ms']),
      completedRecently: numberOf(row['recently']),
    })),
    linesPerRecord: sum('completed') === 0 ? 0 : sum('lines') / sum('completed'),
    trailMs: trailDays * dayMs,
    records: { rows: numberOf(totals['records']), bytes: numberOf(totals['record_bytes']) },
    outcomes: { rows: numberOf(totals['outcomes']), bytes: numberOf(totals['outcome_bytes']) },
    trail: { rows: numberOf(totals['lines']), bytes: numberOf(totals['line_bytes']) },
  }
}
