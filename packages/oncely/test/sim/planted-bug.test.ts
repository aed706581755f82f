import { type PlantedBug, plantedBugs, type Scenario, simulate } from 'oncely/sim'
import { describe, expect, test } from 'vitest'

const seedsMax = 500

/** The lease is also watched by its own process, so a broken `begin()` shows only where the database's clock runs ahead of it. */
const focus: Partial<Record<PlantedBug, (drawn: Scenario) => Scenario>> = {
  'begins-unfenced': (drawn) => ({
    ...drawn,
    handlers: { ...drawn.handlers, slow: 1 },
    nemesis: { ...drawn.nemesis, databaseClockEveryMs: 4_000 },
    requests: drawn.requests.map((request) => ({ ...request, operation: 'booking' as const })),
  }),
}

describe('a planted mistake of the store is found', () => {
  for (const bug of plantedBugs) {
    test(`${bug}, within ${seedsMax} seeds`, { timeout: 60_000 }, async () => {
      const change = focus[bug] ?? ((drawn: Scenario) => drawn)
      let found: number | undefined
      for (let seed = 1; seed <= seedsMax && found === undefined; seed++) {
        const { violations } = await simulate({ seed, bug, change })
        if (violations.length > 0) found = seed
      }
      expect(found).toBeDefined()
      // It was the mistake, and not the seed.
      expect((await simulate({ seed: found as number, change })).violations).toEqual([])
    })
  }
})
