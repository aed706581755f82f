import {
  type AbandonedRun,
  type Clock,
  compareTokens,
  type OncelyRecord,
  type Outcome,
  type OwnerAnswer,
  type Ownership,
  type SettledPoint,
  type StepHistory,
  type StepIntent,
  type StepKind,
  type StepPoint,
  type StepState,
  type StepStore,
  TransactionEscaped,
} from '../../core/index.ts'
import { moveRow, noTrace, readRecord } from './record-table.ts'
import type { Connection, SqliteConnection } from './sqlite-connection.ts'
import type { SqliteFile } from './sqlite-file.ts'

interface StepRow {
  readonly path: string
  readonly name: string
  readonly kind: StepKind
  readonly state: StepState
  readonly generation: number
  readonly remoteKey: string | null
  readonly calledAtMs: number | null
  readonly expiresAtMs: number | null
  readonly payload: Uint8Array | null
  readonly codec: number | null
  readonly checksum: Uint8Array | null
  readonly bytes: Uint8Array | null
}

const savepoint = 'oncely_step'

const columns = `path, name, kind, state, generation, remote_key AS remoteKey, called_at_ms AS calledAtMs, expires_at_ms AS expiresAtMs,
  payload, codec, checksum, bytes`

/** Recovery points. Whoever writes one holds the file's writer, so the token is compared and the point written in one piece. */
export class SqliteSteps<Tx extends SqliteConnection> implements StepStore<Tx> {
  readonly #file: () => Promise<SqliteFile<Tx>>
  readonly #connectionOf: (tx: Tx) => Connection
  readonly #clock: Clock

  constructor(file: () => Promise<SqliteFile<Tx>>, connectionOf: (tx: Tx) => Connection, clock: Clock) {
    this.#file = file
    this.#connectionOf = connectionOf
    this.#clock = clock
  }

  start(
    ownership: Ownership,
    { version, payload, input }: { readonly version: number; readonly payload: Uint8Array; readonly input: Outcome },
  ): Promise<OwnerAnswer> {
    return this.#owned(ownership, (writer, record) =>
      put(writer, record, { path: '', kind: 'start', name: String(version), state: 'done', value: input }, payload),
    )
  }

  async read(id: Uint8Array, createdAtMs: number): Promise<StepHistory | undefined> {
    const rows = await (await this.#file()).read((reader) =>
      reader.all<StepRow>(`SELECT ${columns} FROM oncely_steps WHERE id = ? AND life = ? ORDER BY path`, id, createdAtMs),
    )
    const start = rows.find(({ path }) => path === '')
    if (start === undefined) return undefined
    return {
      version: Number(start.name),
      payload: start.payload ?? new Uint8Array(0),
      input: outcomeOf(start),
      points: rows.filter((row) => row !== start).map(pointOf),
      nowMs: this.#clock.nowMs(),
    }
  }

  intend(ownership: Ownership, { path, name, key, generation, lifetimeMs }: StepIntent): Promise<OwnerAnswer> {
    const nowMs = this.#clock.nowMs()
    return this.#owned(ownership, (writer, { id, createdAtMs }) => {
      writer.run(
        `INSERT INTO oncely_steps (id, life, path, name, kind, state, generation, remote_key, called_at_ms, expires_at_ms)
         VALUES (?, ?, ?, ?, 'effect', 'intended', ?, ?, ?, ?)
         ON CONFLICT (id, life, path) DO UPDATE SET state = excluded.state, called_at_ms = excluded.called_at_ms,
           remote_key = excluded.remote_key, generation = excluded.generation,
           expires_at_ms = CASE WHEN generation = excluded.generation THEN expires_at_ms ELSE excluded.expires_at_ms END
         WHERE state <> 'done'`,
        id,
        createdAtMs,
        path,
        name,
        generation,
        key,
        nowMs,
        nowMs + lifetimeMs,
      )
    })
  }

  settle(ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer> {
    return this.#owned(ownership, (writer, record) => put(writer, record, point, null))
  }

  async enter(tx: Tx, ownership: Ownership): Promise<OwnerAnswer> {
    const connection = this.#connectionOf(tx)
    if (ownedRecord(connection, ownership) === undefined) return 'lost'
    connection.run(`SAVEPOINT ${savepoint}`)
    return 'done'
  }

  async commit(tx: Tx, ownership: Ownership, point: SettledPoint): Promise<OwnerAnswer> {
    const connection = this.#connectionOf(tx)
    if (!connection.inTransaction || !connection.releaseSavepoint(savepoint))
      throw new TransactionEscaped('The function of this step ended its transaction itself.')
    const record = ownedRecord(connection, ownership)
    if (record === undefined) return 'lost'
    put(connection, record, point, null)
    return 'done'
  }

  async isOpen(tx: Tx): Promise<boolean> {
    const connection = this.#connectionOf(tx)
    return connection.inTransaction && connection.rollBackTo(savepoint)
  }

  async quarantine(ownership: Ownership, { reason }: { readonly reason: string }): Promise<OwnerAnswer> {
    const event = { type: 'quarantine', ownership, reason } as const
    const file = await this.#file()
    return file.write((writer) => moveRow<'quarantine'>(writer, ownership.id, event, this.#clock.nowMs(), { ...noTrace, reason }))
  }

  async abandoned(search: {
    readonly operations: readonly string[]
    readonly limit: number
    readonly backoffMs: number
    readonly backoffMaxMs: number
  }): Promise<readonly AbandonedRun[]> {
    const names = search.operations.map(() => '?').join(', ')
    const rows = await (await this.#file()).read((reader) =>
      reader.all<AbandonedRun>(
        `SELECT s.id, k.operation, s.life AS createdAtMs FROM oncely_steps s JOIN oncely_keys k ON k.id = s.id AND k.created_at_ms = s.life
         WHERE s.path = '' AND k.operation IN (${names})
           AND (k.state = 'running' AND k.lease_end_ms + min(?, ? * (1 << (min(k.attempt, 30) - 1))) <= ? OR k.state = 'released')
         ORDER BY s.life LIMIT ?`,
        ...search.operations,
        search.backoffMaxMs,
        search.backoffMs,
        this.#clock.nowMs(),
        search.limit,
      ),
    )
    return rows.map((row) => ({ ...row }))
  }

  async #owned(
    ownership: Ownership,
    write: (writer: Connection, record: OncelyRecord & { readonly state: 'running' }) => void,
  ): Promise<OwnerAnswer> {
    return (await this.#file()).write((writer) => {
      const record = ownedRecord(writer, ownership)
      if (record === undefined) return 'lost'
      write(writer, record)
      return 'done'
    })
  }
}

function ownedRecord(
  connection: Connection,
  { id, token, attemptId }: Ownership,
): (OncelyRecord & { readonly state: 'running' }) | undefined {
  const record = readRecord(connection, id)
  if (record?.state !== 'running' || record.attemptId !== attemptId || compareTokens(record.token, token) !== 0) return undefined
  return record
}

function put(writer: Connection, { id, createdAtMs }: OncelyRecord, point: SettledPoint, payload: Uint8Array | null): void {
  const { path, name, kind, state, value } = point
  writer.run(
    `INSERT INTO oncely_steps (id, life, path, name, kind, state, generation, payload, codec, checksum, bytes)
     VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, CASE WHEN ? IS NULL THEN NULL ELSE coalesce(?, x'') END)
     ON CONFLICT (id, life, path) DO UPDATE SET state = excluded.state, codec = excluded.codec, checksum = excluded.checksum, bytes = excluded.bytes`,
    id,
    createdAtMs,
    path,
    name,
    kind,
    state,
    payload,
    value?.codec ?? null,
    value?.checksum ?? null,
    value?.codec ?? null,
    value?.bytes ?? null,
  )
}

function pointOf(row: StepRow): StepPoint {
  const { path, name, kind, state, generation, remoteKey, calledAtMs, expiresAtMs } = row
  const call =
    generation === 0 ? undefined : { key: remoteKey ?? '', generation, calledAtMs: calledAtMs ?? 0, expiresAtMs: expiresAtMs ?? 0 }
  return { path, name, kind, state, call, value: outcomeOf(row) }
}

function outcomeOf({ codec, checksum, bytes }: StepRow): Outcome | undefined {
  return codec === null ? undefined : { codec, checksum: checksum ?? new Uint8Array(0), bytes: bytes ?? new Uint8Array(0) }
}
