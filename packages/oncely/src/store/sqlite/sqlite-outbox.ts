import type {
  BucketLease,
  Clock,
  OutboxAggregate,
  OutboxLeaseRequest,
  OutboxReadRequest,
  OutboxRow,
  OutboxSettlement,
  OutboxStats,
  OutboxStore,
  ParkedAggregate,
  StoredMessage,
} from '../../core/index.ts'
import {
  addMessages,
  anythingDue,
  leaseBuckets,
  readMessages,
  readOutboxStats,
  readParked,
  redriveAggregate,
  releaseBucket,
  settleMessages,
} from './outbox-table.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'
import { storeError } from './sqlite-error.ts'
import type { SqliteFile } from './sqlite-file.ts'

/** The outbox beside the records, in the same file. A look that finds nothing does not ask for the writer. */
export class SqliteOutbox<Tx extends SqliteConnection> implements OutboxStore<Tx> {
  readonly #clock: Clock
  readonly #file: () => Promise<SqliteFile<Tx>>
  readonly #connectionOf: (tx: Tx) => Connection

  constructor(clock: Clock, file: () => Promise<SqliteFile<Tx>>, connectionOf: (tx: Tx) => Connection) {
    this.#clock = clock
    this.#file = file
    this.#connectionOf = connectionOf
  }

  async enqueue(tx: Tx, rows: readonly OutboxRow[]): Promise<void> {
    try {
      addMessages(this.#connectionOf(tx), rows, this.#nowMs())
    } catch (error) {
      throw storeError(error, 'no')
    }
  }

  async lease(request: OutboxLeaseRequest): Promise<readonly BucketLease[]> {
    const file = await this.#file()
    if (!(await file.read((reader) => anythingDue(reader, request.sinks, this.#nowMs())))) return []
    return file.write((writer) => leaseBuckets(writer, request, this.#nowMs()))
  }

  async read(lease: BucketLease, request: OutboxReadRequest): Promise<readonly StoredMessage[] | 'lost'> {
    return (await this.#file()).write((writer) => readMessages(writer, lease, request, this.#nowMs()))
  }

  async settle(lease: BucketLease, settlement: OutboxSettlement): Promise<'done' | 'lost'> {
    return (await this.#file()).write((writer) => settleMessages(writer, lease, settlement, this.#nowMs()))
  }

  async release(lease: BucketLease): Promise<void> {
    await (await this.#file()).write((writer) => releaseBucket(writer, lease, this.#nowMs()))
  }

  async stats(): Promise<OutboxStats> {
    return (await this.#file()).read((reader) => readOutboxStats(reader, this.#nowMs()))
  }

  async parked(limit: number): Promise<readonly ParkedAggregate[]> {
    return (await this.#file()).read((reader) => readParked(reader, limit))
  }

  async redrive(aggregate: OutboxAggregate): Promise<boolean> {
    return (await this.#file()).write((writer) => redriveAggregate(writer, aggregate))
  }

  #nowMs(): number {
    return Math.floor(this.#clock.nowMs())
  }
}
