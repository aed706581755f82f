/** What consumers of messages keep beside the records. A lane's lease is on its first row; the fencing counter gives its token. */
export const inboxTables: string = `
CREATE TABLE oncely_inbox (
  id BLOB NOT NULL PRIMARY KEY,
  consumer TEXT NOT NULL,
  hold_until INTEGER NOT NULL,
  touched INTEGER NOT NULL,
  started INTEGER NOT NULL,
  finished INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  alone INTEGER NOT NULL,
  last_error TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE oncely_dead_letters (
  number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  id BLOB NOT NULL UNIQUE,
  lane BLOB NOT NULL,
  consumer TEXT NOT NULL,
  operation TEXT NOT NULL,
  reason TEXT NOT NULL,
  error TEXT NOT NULL,
  message_id TEXT NOT NULL,
  envelope TEXT NOT NULL,
  payload BLOB NOT NULL
) STRICT;

CREATE INDEX oncely_dead_letters_consumer ON oncely_dead_letters (consumer, number);

CREATE TABLE oncely_parked (
  position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  hold_until INTEGER NOT NULL,
  lease_end INTEGER NOT NULL,
  token INTEGER NOT NULL,
  id BLOB NOT NULL UNIQUE,
  lane BLOB NOT NULL,
  consumer TEXT NOT NULL,
  envelope TEXT NOT NULL,
  payload BLOB NOT NULL
) STRICT;

CREATE INDEX oncely_parked_lane ON oncely_parked (consumer, lane, position);

CREATE TABLE oncely_inbox_offsets (
  consumer TEXT NOT NULL,
  source TEXT NOT NULL,
  partition INTEGER NOT NULL,
  applied INTEGER NOT NULL,
  incarnation TEXT NOT NULL,
  owner TEXT NOT NULL,
  PRIMARY KEY (consumer, source, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE oncely_seen (
  consumer TEXT NOT NULL,
  id BLOB NOT NULL,
  at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (consumer, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX oncely_seen_until ON oncely_seen (until);

CREATE TABLE oncely_seen_counts (
  consumer TEXT NOT NULL PRIMARY KEY,
  duplicates INTEGER NOT NULL,
  late INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`
