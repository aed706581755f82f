import {
  ConfigurationError,
  checkBound,
  type InboxStore,
  type Operation,
  recordId,
  type TransactionalStore,
  toHex,
  Unsupported,
} from '../core/index.ts'

/** How a stream is compacted. */
export interface CompactionOptions {
  /** Names the stream's consumer for good. */
  readonly consumer: string
  /** How long an id is known; a duplicate that comes later than this and before twice this is refused, and counted as late. */
  readonly windowMs: number
}

/** What of a batch is new. */
export interface CompactedBatch<Item> {
  readonly fresh: readonly Item[]
  readonly duplicates: number
}

/** Drops duplicates of an at-least-once stream, a batch at a time. */
export interface Compaction<Tx> {
  /**
   * Which items of a batch are new within the window. Call it in the transaction that writes them: then an item is written if and
   * only if it counts as seen. Of equal ids in one batch the first is new.
   */
  keep<Item>(tx: Tx, batch: readonly Item[], idOf: (item: Item) => string): Promise<CompactedBatch<Item>>
}

/**
 * Deduplicates telemetry by id over a window, in one statement a batch: no record, no outcome, no replay. For streams where an event
 * that is counted twice after the window is a small error and not a double charge. Late duplicates are counted (`stats`), so that the
 * window can be judged.
 *
 * @throws ConfigurationError, and Unsupported for a store without an inbox.
 *
 * @example
 * const readings = createCompaction(ingest, { consumer: 'meters', windowMs: 3_600_000 })
 * const { fresh } = await readings.keep(tx, batch, (reading) => reading.id)
 */
export function createCompaction<Tx>(
  operation: Operation<never, never, Tx, 'transaction'>,
  { consumer, windowMs }: CompactionOptions,
): Compaction<Tx> {
  const { store, hasher, namespace } = operation.engine.parts
  const inbox = (store as TransactionalStore<Tx>).inbox as InboxStore<Tx> | undefined
  if (inbox === undefined) throw new Unsupported(`The store "${store.name}" keeps no inbox; use PostgreSQL, MariaDB or SQLite.`)
  if (typeof consumer !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(consumer))
    throw new ConfigurationError(`consumer is ${JSON.stringify(consumer)}; it must be 1 to 200 printable ASCII characters.`)
  const checkedMs = checkBound('windowMs', windowMs, { preset: 3_600_000, min: 1_000, max: 31_536_000_000 })
  return {
    keep: async (tx, batch, idOf) => {
      const first = new Map<string, { readonly id: Uint8Array; readonly item: (typeof batch)[number] }>()
      for (const item of batch) {
        const id = recordId({ namespace: `\u0000seen/${namespace}`, principal: consumer, key: idOf(item) }, hasher)
        if (!first.has(toHex(id))) first.set(toHex(id), { id, item })
      }
      const unique = [...first.values()]
      const isNew = await inbox.seen(
        tx,
        consumer,
        unique.map(({ id }) => id),
        { windowMs: checkedMs },
      )
      const fresh = unique.filter((_, index) => isNew[index]).map(({ item }) => item)
      return { fresh, duplicates: batch.length - fresh.length }
    },
  }
}
