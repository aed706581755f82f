import { test } from 'vitest'
import { outboxSuite } from '../../src/testing/index.ts'
import { outboxEngine } from './outbox-engine.ts'
import { begin, openOutbox, openPlace } from './postgres-fixture.ts'

outboxSuite({ test, open: () => openOutbox() })

outboxEngine(async () => {
  const place = await openPlace()
  return { store: place.store, begin: () => begin(place.pool), close: () => place.close('passed') }
})
