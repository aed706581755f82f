import type { PoolConnection } from 'mysql2/promise'
import { addEffect, openPlace } from '../store/mysql-fixture.ts'
import { engineSuite } from './sql-engine.ts'

engineSuite(async () => {
  const place = await openPlace()
  return {
    store: place.store,
    database: { kind: 'mysql', url: place.url },
    book: (tx, effect) => addEffect(tx as PoolConnection, effect),
    effects: async () => (await place.sql<{ value: string }>('SELECT value FROM {effects} ORDER BY at')).map(({ value }) => value),
    close: place.close,
  }
})
