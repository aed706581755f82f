import type { PlantedBug } from './planted-bugs.ts'

/** What the shared cache must hold to. */
export const cacheBugs: readonly PlantedBug[] = [
  {
    name: 'cache-frame-unsigned',
    rule: 'cache',
    bug: 'a frame is believed without its signature',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'with a frame that nobody signed is not believed, and is told of' },
  },
  {
    name: 'cache-other-epoch',
    rule: 'cache',
    bug: 'an outcome of the database before a restore is answered',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'is forgotten when the store is another than before' },
  },
  {
    name: 'cache-other-payload',
    rule: 'cache',
    bug: 'an outcome in the cache answers another payload',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'never answers another payload: the store says that it is one' },
  },
  {
    name: 'cache-moved-frame',
    rule: 'cache',
    bug: 'a frame moved from one record to another is answered',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'with a frame of another record is not believed: the store is asked' },
  },
  {
    name: 'cache-answers-expired',
    rule: 'cache',
    bug: 'a frame is answered for as long as the cache keeps it',
    caughtBy: {
      file: 'core/engine-cache.test.ts',
      test: 'is not answered beyond the time that its frame carries, however long the cache keeps it',
    },
  },
  {
    name: 'cache-near-tombstone',
    rule: 'cache',
    bug: 'an outcome is kept up to the moment in which its key is free again',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'is kept no longer than its retention, and away from the end of its tombstone' },
  },
  {
    name: 'cache-hint-outlives-lease',
    rule: 'cache',
    bug: 'a hint answers after its lease has ended',
    caughtBy: { file: 'core/engine-cache-hint.test.ts', test: 'means nothing once its lease has ended' },
  },
  {
    name: 'cache-published-unconfirmed',
    rule: 'cache',
    bug: 'an outcome is published before its completion is confirmed',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'so an outcome whose completion nobody confirmed is not' },
  },
  {
    name: 'cache-keeps-erased',
    rule: 'cache',
    bug: 'an erased record is still answered by the cache',
    caughtBy: { file: 'core/engine-cache-hint.test.ts', test: 'is a record in the cache too' },
  },
  {
    name: 'cache-without-secrets',
    rule: 'cache',
    bug: 'a cache is taken although nothing can sign its frames',
    caughtBy: { file: 'core/engine-cache.test.ts', test: 'is refused where nothing could sign' },
  },
  {
    name: 'cache-always-waited-for',
    rule: 'cache',
    bug: 'every call waits for a cache that does not answer',
    caughtBy: { file: 'core/engine-cache-hint.test.ts', test: '(hangs) costs three time-outs at most, and then nothing' },
  },
]
