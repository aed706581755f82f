import type { PoolClient } from 'pg'
import { addEffect, openPlace, serverUrl } from '../store/postgres-fixture.ts'
import { engineSuite } from './sql-engine.ts'

engineSuite(async () => {
  const place = await openPlace()
  return {
    store: place.store,
    database: { kind: 'postgres', url: serverUrl, schema: place.schema },
    book: (tx, effect) => addEffect(place, tx as PoolClient, effect),
    effects: async () => (await place.sql<{ value: string }>('SELECT value FROM {effects} ORDER BY at')).map(({ value }) => value),
    close: place.close,
  }
})
