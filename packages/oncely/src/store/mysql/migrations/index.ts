import { tables } from './0001-tables.ts'
import { identity } from './0002-identity.ts'
import { claiming } from './0003-claim.ts'
import { frontDoor } from './0004-front-door.ts'
import { life } from './0005-life.ts'
import { upkeeping } from './0006-upkeep.ts'
import { outbox } from './0007-outbox.ts'
import { inboxes } from './0008-inbox.ts'
import { stepping } from './0009-steps.ts'
import type { Migration } from './migration.ts'

export type { Migration } from './migration.ts'

/** Every step of the schema, in order. Published ones never change; a new one is added at the end. */
export const migrations: readonly Migration[] = [tables, identity, claiming, frontDoor, life, upkeeping, outbox, inboxes, stepping]
