import { expect, test } from 'vitest'
import { encryptedLife } from '../support/encrypted-life.ts'
import { openHarness } from './postgres-fixture.ts'

test('encrypted outcomes outlive a rotation and nothing else', async () => {
  expect(await encryptedLife(await openHarness())).toBe('passed')
})
