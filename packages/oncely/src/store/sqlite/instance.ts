import type { FencingToken, Random } from '../../core/index.ts'
import type { Connection } from './sqlite-connection.ts'
import { isMissingTable } from './sqlite-error.ts'

/**
 * The one row that names this database and counts its fencing tokens.
 *
 * The counter only grows and is written in the claim's own commit. After a restore it would start again at an older value, so
 * the epoch, which is compared first, is raised to at least the current second: past every epoch raised before the backup came
 * back.
 */
export interface Instance {
  readonly instanceId: string
  readonly fileIdentity: string
}

/** Undefined in a file that has no tables of the store. */
export function readInstance(connection: Connection): Instance | undefined {
  try {
    return connection.get<Instance>('SELECT instance_id AS instanceId, file_identity AS fileIdentity FROM oncely_instance')
  } catch (error) {
    if (isMissingTable(error)) return undefined
    throw error
  }
}

/** The token the next claim gets; it is taken by `spendToken` in the same commit. */
export function nextToken(connection: Connection): FencingToken {
  const row = connection.get<{ epoch: number; seq: number }>('SELECT epoch, seq FROM oncely_instance')
  return { epoch: row?.epoch ?? 1, seq: BigInt(row?.seq ?? 0) + 1n }
}

export function spendToken(connection: Connection, token: FencingToken): void {
  connection.run('UPDATE oncely_instance SET seq = ?', token.seq)
}

/** From here on every token is newer than any that was given out before, whatever the counter says. */
export function raiseEpoch(connection: Connection, nowMs: number): void {
  connection.run('UPDATE oncely_instance SET epoch = max(epoch + 1, ?)', Math.floor(nowMs / 1000))
}

/** From here on it is another database than the one it was copied from, for caches and for transactions that are handed in. */
export function renewInstance(connection: Connection, nowMs: number, random: Random): void {
  raiseEpoch(connection, nowMs)
  connection.run('UPDATE oncely_instance SET instance_id = ?', random.uuid())
}

/** Notices that the file is a copy: it lies on another device or inode than when it was last opened. */
export function recognizeFile(connection: Connection, fileIdentity: string, nowMs: number, random: Random): void {
  const before = readInstance(connection)?.fileIdentity
  if (before === fileIdentity) return
  if (before !== '') renewInstance(connection, nowMs, random)
  connection.run('UPDATE oncely_instance SET file_identity = ?', fileIdentity)
}
