import type { PlantedBug } from './planted-bugs.ts'

/** What locks, and the time that etcd's nodes tell, must hold to. */
export const lockBugs: readonly PlantedBug[] = [
  {
    name: 'lock-standstill-unseen',
    rule: 'lock',
    bug: 'a holder that stood still takes its lock for held until a timer fires',
    caughtBy: { file: 'core/leased-lock.test.ts', test: 'the lease is seen to be over before any timer has fired, as after a standstill' },
  },
  {
    name: 'lock-lease-from-answer',
    rule: 'lock',
    bug: "a renewed lease counts from the engine's answer, so that it ends after the engine's",
    caughtBy: { file: 'core/leased-lock.test.ts', test: 'the lease counts from before a renewal was sent, not from its answer' },
  },
  {
    name: 'lock-silence-proves',
    rule: 'lock',
    bug: 'a session that gives no sign of life counts as alive',
    caughtBy: { file: 'core/leased-lock.test.ts', test: 'the probe a question that fails proves nothing' },
  },
  {
    name: 'expiry-by-the-fastest-node',
    rule: 'expiry',
    bug: 'of nodes that disagree the fastest clock ends leases',
    caughtBy: { file: 'etcd/node-time.test.ts', test: "the nodes' time nodes that disagree are all within the bounds" },
  },
]
