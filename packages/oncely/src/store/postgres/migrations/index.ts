import { tables } from './0001-tables.ts'
import { claiming } from './0002-claim.ts'
import { life } from './0003-life.ts'
import { upkeeping } from './0004-upkeep.ts'
import { lifecycle } from './0005-lifecycle.ts'
import { outbox } from './0006-outbox.ts'
import { inboxes } from './0007-inbox.ts'
import { stepping } from './0008-steps.ts'
import type { Migration } from './migration.ts'

export type { Migration } from './migration.ts'

/** Every step of the schema, in order. Published ones never change; a new one is added at the end. */
export const migrations: readonly Migration[] = [tables, claiming, life, upkeeping, lifecycle, outbox, inboxes, stepping]
