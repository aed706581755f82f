import type { PlantedBug } from './planted-bugs.ts'

/** Bugs in what keeps, protects and removes records. */
export const lifecycleBugs: readonly PlantedBug[] = [
  {
    name: 'lifecycle-outcome-tag-unchecked',
    rule: 'lifecycle',
    bug: 'an encrypted outcome is taken whatever its tag says',
    caughtBy: { file: 'core/outcome-seal.test.ts', test: 'of one record never opens as that of another' },
  },
  {
    name: 'lifecycle-newest-secret-only',
    rule: 'lifecycle',
    bug: 'an outcome opens under the newest secret only',
    caughtBy: { file: 'core/outcome-seal.test.ts', test: 'opens after a rotation, and is sealed under the newest secret' },
  },
  {
    name: 'lifecycle-stored-in-plain',
    rule: 'lifecycle',
    bug: 'an outcome that should be encrypted is stored as it is',
    caughtBy: { file: 'core/engine-encryption.test.ts', test: 'keeps them from whoever reads the store, and replays them' },
  },
  {
    name: 'lifecycle-hold-ignored-by-sweep',
    rule: 'lifecycle',
    bug: 'a record under a legal hold is swept',
    caughtBy: { file: 'store/memory.test.ts', test: 'hold: a record that is held is neither swept nor erased, and its key stays used' },
  },
  {
    name: 'lifecycle-erases-other-principals',
    rule: 'lifecycle',
    bug: 'an erasure takes the records of other principals',
    caughtBy: { file: 'store/memory.test.ts', test: 'erasure: takes every ended record of one principal, in batches, and no other' },
  },
  {
    name: 'lifecycle-principal-without-namespace',
    rule: 'lifecycle',
    bug: 'a principal of that name of another application is the same one',
    caughtBy: { file: 'core/erasure.test.ts', test: 'of another application in the same store is somebody else' },
  },
  {
    name: 'lifecycle-adopted-runs-again',
    rule: 'lifecycle',
    bug: 'what the old table has is claimed and not kept',
    caughtBy: { file: 'core/adoption.test.ts', test: 'answers what it has without running, and keeps it as a record' },
  },
  {
    name: 'lifecycle-stored-unredacted',
    rule: 'lifecycle',
    bug: 'a value is stored whole although it should be redacted',
    caughtBy: {
      file: 'core/adoption.test.ts',
      test: 'gives the first caller the whole and keeps the rest from the store and from replays',
    },
  },
]
