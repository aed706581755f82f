import { test } from 'vitest'
import { stepSuite } from '../../src/testing/index.ts'
import { openHarness } from './sqlite-harness.ts'

stepSuite({ test, open: openHarness })
