import type { StoreInfo } from '../../core/index.ts'
import { numberOf, onlyRow, type Row, textOf } from '../../sql/index.ts'
import type { StoreFunctions } from './store-function.ts'

/** Reads what the running server promises, and settles the epoch of its fencing tokens; one round trip. */
export async function serverInfo<Tx>(functions: StoreFunctions<Tx>): Promise<StoreInfo> {
  const { place } = functions
  const statement = `SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit, current_setting('synchronous_standby_names') AS standbys,
  pg_is_in_recovery() AS recovering,
  (SELECT count(*) FROM pg_stat_replication r WHERE r.state = 'streaming' AND r.sync_state IN ('sync', 'quorum')) AS streaming,
  (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
    WHERE c.relnamespace = '"${place.schema}"'::regnamespace AND starts_with(c.relname, '${place.prefix}')
      AND c.relkind = 'r' AND c.relpersistence = 'u') AS unlogged,
  e.a_instance AS instance
FROM ${functions.nameOf('settle_epoch')}() e`
  const row = onlyRow(await functions.rows('its settings', statement))
  return { ...survives(row), instanceId: textOf(row['instance']) }
}

function survives(row: Row): Pick<StoreInfo, 'survives' | 'survivesBecause'> {
  const setting = (name: string): string => textOf(row[name])
  const unlogged = setting('unlogged')
  if (unlogged !== '') return { survives: 'nothing', survivesBecause: `unlogged tables, which a crash empties: ${unlogged}` }
  if (setting('fsync') !== 'on') return { survives: 'nothing', survivesBecause: `fsync = ${setting('fsync')}` }
  if (setting('full_page_writes') !== 'on')
    return { survives: 'restart', survivesBecause: `full_page_writes = ${setting('full_page_writes')}` }
  const commit = `synchronous_commit = ${setting('synchronous_commit')}`
  if (setting('synchronous_commit') === 'off') return { survives: 'restart', survivesBecause: commit }
  const standbys = `synchronous_standby_names = '${setting('standbys')}'`
  if (setting('standbys') === '') return { survives: 'power', survivesBecause: `fsync = on, ${commit}, ${standbys}` }
  if (setting('synchronous_commit') === 'local')
    return { survives: 'power', survivesBecause: `${commit}: commits do not wait for ${standbys}` }
  const streaming = numberOf(row['streaming'])
  if (streaming === 0) return { survives: 'power', survivesBecause: `${standbys}, and no synchronous standby is seen streaming` }
  return { survives: 'failover', survivesBecause: `${commit}, ${standbys}, ${streaming} synchronous standby streaming` }
}
