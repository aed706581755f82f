import { test } from 'vitest'
import { stepSuite } from '../../src/testing/index.ts'
import { openHarness } from './postgres-fixture.ts'

stepSuite({ test, open: openHarness })
