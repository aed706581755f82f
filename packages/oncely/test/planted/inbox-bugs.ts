import type { PlantedBug } from './planted-bugs.ts'

/** What the tests of the inbox must see. */
export const inboxBugs: readonly PlantedBug[] = [
  {
    name: 'inbox-offset-ignores-owner',
    rule: 'inbox',
    bug: 'an owner that was replaced advances the partition while its offset still fits',
    caughtBy: { file: 'inbox/sqlite.test.ts', test: 'offsets: of two owners the older one changes nothing, and is told to let go' },
  },
  {
    name: 'inbox-overtakes-parked-key',
    rule: 'inbox',
    bug: 'a message runs while an earlier one of its key is parked',
    caughtBy: {
      file: 'inbox/sqlite.test.ts',
      test: 'order: a key that fails is parked, the others go on, and its messages keep their order',
    },
  },
  {
    name: 'inbox-blames-neighbours',
    rule: 'inbox',
    bug: 'whatever was fetched with a message that kills its process is quarantined with it',
    caughtBy: {
      file: 'inbox/sqlite.test.ts',
      test: 'crashes: a start that never ended makes a message run alone, and only crashes of its own quarantine it',
    },
  },
  {
    name: 'inbox-goes-on-behind-a-failure',
    rule: 'inbox',
    bug: 'a partition goes on behind a message that failed although it keeps its order',
    caughtBy: { file: 'inbox/sqlite.test.ts', test: 'order: behind a message that fails, its partition waits where the policy says so' },
  },
]
