/**
 * One step of the schema. Numbers only grow and a published step never changes: its checksum is compared with what ran.
 *
 * In the statements `{keys}` stands for the quoted, qualified name of `oncely_keys` under the configured schema and prefix,
 * `{#keys}` for the bare quoted name (constraints and indexes live in their table's schema), `{=keys}` for the bare name as a
 * text literal, and `{schema}`, `{=schema}` for the schema as a name and as a literal.
 */
export type { Migration } from '../../../sql/index.ts'
