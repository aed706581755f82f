import { test } from 'vitest'
import { encryptedLife } from '../support/encrypted-life.ts'
import { openHarness } from './mysql-fixture.ts'

test('encrypted outcomes outlive a rotation and nothing else', async () => encryptedLife(await openHarness()))
