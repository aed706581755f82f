/**
 * One step of the schema. Numbers only grow and a published step never changes: its checksum is compared with what ran.
 *
 * A schema statement commits by itself here, so a step that was cut short is run again from its start: every statement can be
 * repeated. In the statements `{keys}` stands for the quoted name of `oncely_keys` under the configured prefix, `{#keys}` for the
 * same name without the prefix's table (indexes), and `{=keys}` for the bare name as a text literal.
 */
export type { Migration } from '../../../sql/index.ts'

/** A procedure under our own rights of the caller, replaced when it is there already. */
export function procedure(name: string, parameters: string, body: string): readonly string[] {
  return [
    `DROP PROCEDURE IF EXISTS {${name}}`,
    `CREATE PROCEDURE {${name}}(${parameters})\nMODIFIES SQL DATA SQL SECURITY INVOKER\n${body}`,
  ]
}

/** The server's time in milliseconds since 1970 at the start of the statement: UTC, so that no time zone or clock change counts twice. */
export const nowMs = "TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000"

/** The day (UTC) of a time; far ones share the last day that a DATE can carry. */
export function dayOf(ms: string): string {
  return `DATE_ADD(DATE'1970-01-01', INTERVAL LEAST(${ms}, 253370764800000) DIV 86400000 DAY)`
}
