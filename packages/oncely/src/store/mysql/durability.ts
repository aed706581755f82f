import { ConfigurationError, type StoreInfo } from '../../core/index.ts'
import { numberOf, onlyRow, type Row, textOf } from '../../sql/index.ts'
import type { StoreProcedures } from './store-procedure.ts'

/** Settles the epoch of the fencing tokens, and reads what the running server promises. */
export async function serverInfo<Tx>(procedures: StoreProcedures<Tx>): Promise<StoreInfo> {
  const { prefix } = procedures.place
  await procedures.rows('its epoch', procedures.call('settle_epoch', []))
  const statement = `SELECT @@SESSION.autocommit AS autocommit, @@innodb_flush_log_at_trx_commit AS flush_log, @@innodb_doublewrite AS doublewrite, @@log_bin AS log_bin,
  @@sync_binlog AS sync_binlog, @@innodb_flush_method AS flush_method,
  (SELECT GROUP_CONCAT(t.table_name ORDER BY t.table_name SEPARATOR ', ') FROM information_schema.tables t
    WHERE t.table_schema = DATABASE() AND LEFT(t.table_name, ${prefix.length}) = '${prefix}'
      AND t.engine <> 'InnoDB' AND t.table_name <> '${prefix}start') AS unsafe,
  i.instance FROM ${procedures.nameOf('instance')} i`
  const row = onlyRow(await procedures.rows('its settings', statement))
  // Single statements commit by themselves: elsewhere counts would be lost, and what was read once would be read again.
  if (numberOf(row['autocommit']) !== 1)
    throw new ConfigurationError(
      `The connections of ${procedures.layer.name} have autocommit = 0: give the store a pool whose sessions have autocommit = 1; a transaction of the library's turns it off for itself.`,
    )
  return { ...survives(row), instanceId: textOf(row['instance']) }
}

function survives(row: Row): Pick<StoreInfo, 'survives' | 'survivesBecause'> {
  const unsafe = textOf(row['unsafe'])
  if (unsafe !== '') return { survives: 'nothing', survivesBecause: `tables of another engine than InnoDB: ${unsafe}` }
  const flush = `innodb_flush_log_at_trx_commit = ${textOf(row['flush_log'])}`
  if (numberOf(row['flush_log']) === 0)
    return { survives: 'nothing', survivesBecause: `${flush}: a commit is written up to a second later` }
  if (numberOf(row['flush_log']) === 2) return { survives: 'restart', survivesBecause: flush }
  if (/^(0|OFF)/i.test(textOf(row['doublewrite']))) return { survives: 'restart', survivesBecause: 'innodb_doublewrite = OFF' }
  if (textOf(row['flush_method']).includes('nosync'))
    return { survives: 'restart', survivesBecause: `innodb_flush_method = ${textOf(row['flush_method'])}` }
  // With a binary log, a crash undoes what the log does not hold.
  const binlog = numberOf(row['log_bin']) === 0 ? 'no binary log' : `sync_binlog = ${textOf(row['sync_binlog'])}`
  if (numberOf(row['log_bin']) !== 0 && numberOf(row['sync_binlog']) !== 1) return { survives: 'restart', survivesBecause: binlog }
  return { survives: 'power', survivesBecause: `${flush}, ${binlog}; replication is not looked at` }
}
