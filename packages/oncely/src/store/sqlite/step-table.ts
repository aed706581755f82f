import type { Connection } from './sqlite-connection.ts'

/** Recovery points: one row a step, and one with path '' for version (name), payload and input. `life` is the record's creation. */
export const stepTable = `
CREATE TABLE oncely_steps (
  id BLOB NOT NULL,
  life INTEGER NOT NULL,
  path TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('start', 'transaction', 'effect', 'rejection')),
  state TEXT NOT NULL CHECK (state IN ('intended', 'withdrawn', 'done')),
  generation INTEGER NOT NULL,
  remote_key TEXT,
  called_at_ms INTEGER,
  expires_at_ms INTEGER,
  payload BLOB,
  codec INTEGER,
  checksum BLOB,
  bytes BLOB,
  PRIMARY KEY (id, life, path)
) STRICT;
`

/** Removes the recovery points of operations that are completed or gone. */
export function sweepSteps(writer: Connection, limit: number): number {
  return writer.run(
    `DELETE FROM oncely_steps WHERE rowid IN (SELECT s.rowid FROM oncely_steps s
       LEFT JOIN oncely_keys k ON k.id = s.id AND k.created_at_ms = s.life WHERE k.id IS NULL OR k.state = 'completed' LIMIT ?)`,
    limit,
  )
}
