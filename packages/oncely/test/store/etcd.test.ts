import { test } from 'vitest'
import { storeSuite } from '../../src/testing/index.ts'
import { openHarness } from './etcd-fixture.ts'

await storeSuite({ test, open: openHarness })
