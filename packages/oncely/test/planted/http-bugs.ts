import type { PlantedBug } from './planted-bugs.ts'

/** Ways to break what the HTTP contract adds. */
export const httpBugs: readonly PlantedBug[] = [
  {
    name: 'claim-keeps-its-budget-place',
    rule: 'claim',
    bug: 'a claim that is over still counts as running in its caller’s budget',
    caughtBy: { file: 'adapter/node.test.ts', test: 'R49: over its budget of running keys a caller gets 429 until one of them ends' },
  },
]
