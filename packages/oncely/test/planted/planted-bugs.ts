import { cacheBugs } from './cache-bugs.ts'
import { httpBugs } from './http-bugs.ts'
import { inboxBugs } from './inbox-bugs.ts'
import { lifecycleBugs } from './lifecycle-bugs.ts'
import { lockBugs } from './lock-bugs.ts'
import { outboxBugs } from './outbox-bugs.ts'
import { stepBugs } from './step-bugs.ts'

/** A way to break one rule, and the test that must see it. */
export interface PlantedBug {
  /** The patch is `patches/<name>.patch`. */
  readonly name: string
  readonly rule: 'claim' | 'fence' | 'expiry' | 'begin' | 'replay' | 'audit' | 'cache' | 'lifecycle' | 'lock' | 'outbox' | 'inbox' | 'step'
  readonly bug: string
  /** A file below `test/`, and the name of a test in it. */
  readonly caughtBy: { readonly file: string; readonly test: string }
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'claim-while-leased',
    rule: 'claim',
    bug: 'a claim takes a record over while its lease runs',
    caughtBy: { file: 'store/memory.test.ts', test: 'contention: of 50 claims of one key exactly one runs' },
  },
  {
    name: 'claim-ignores-payload',
    rule: 'claim',
    bug: 'another payload under the same key is not refused',
    caughtBy: { file: 'store/memory.test.ts', test: 'mismatch: another payload while the first runs' },
  },
  {
    name: 'claim-forgets-own-attempt',
    rule: 'claim',
    bug: 'a retry of an own claim whose answer was lost is somebody else',
    caughtBy: { file: 'store/memory.test.ts', test: 'claim: a retry of an own claim whose answer was lost is the same claim' },
  },
  {
    name: 'claim-keeps-released-payload',
    rule: 'claim',
    bug: 'a released key still stands for the payload before',
    caughtBy: { file: 'store/memory.test.ts', test: 'mismatch: a released key is free for another payload, which it then stands for' },
  },
  {
    name: 'claim-compares-newest-secret',
    rule: 'claim',
    bug: "payloads are compared under the newest secret instead of the record's",
    caughtBy: { file: 'store/memory.test.ts', test: 'mismatch: a rotated secret compares under the one that the record was written with' },
  },
  {
    name: 'claim-reads-other-version',
    rule: 'claim',
    bug: 'a record of another fingerprint version is compared as if it were of this one',
    caughtBy: { file: 'store/memory.test.ts', test: 'mismatch: a record of another fingerprint version is unreadable, and never run' },
  },
  {
    name: 'claim-takes-visible-transaction',
    rule: 'claim',
    bug: 'a transaction committed without its outcome is in progress instead of uncertain',
    caughtBy: { file: 'store/memory.test.ts', test: 'uncertain: a transaction that was committed without its outcome, whatever its lease' },
  },
  {
    name: 'claim-never-quarantines',
    rule: 'claim',
    bug: 'attempts are not counted against the policy',
    caughtBy: { file: 'store/memory.test.ts', test: 'quarantine: follows the last takeover that the policy allows' },
  },
  {
    name: 'claim-resolver-for-everyone',
    rule: 'claim',
    bug: 'every caller may look an uncertain outcome up at once',
    caughtBy: { file: 'store/memory.test.ts', test: 'contention: of 50 callers exactly one looks an uncertain outcome up' },
  },
  {
    name: 'fence-ignores-token',
    rule: 'fence',
    bug: 'an owner is told by its attempt id alone',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: the newest attempt id with an older or a newer token is refused' },
  },
  {
    name: 'fence-ignores-attempt-id',
    rule: 'fence',
    bug: 'an owner is told by its token alone',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: the newest token with another attempt id is refused' },
  },
  {
    name: 'fence-complete-unchecked',
    rule: 'fence',
    bug: 'an overtaken owner may complete',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: an owner that was overtaken writes nothing, also after its successor gave up' },
  },
  {
    name: 'fence-renew-unchecked',
    rule: 'fence',
    bug: 'an overtaken owner may renew',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: an owner that was overtaken writes nothing, also after its successor gave up' },
  },
  {
    name: 'fence-release-unchecked',
    rule: 'fence',
    bug: 'an overtaken owner may free the key of its successor',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: an owner that was overtaken writes nothing, also after its successor gave up' },
  },
  {
    name: 'fence-seal-unchecked',
    rule: 'fence',
    bug: 'an overtaken owner may seal the record of its successor',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: an owner that was overtaken writes nothing, also after its successor gave up' },
  },
  {
    name: 'fence-token-survives',
    rule: 'fence',
    bug: 'a claim after a release or a lost lease keeps the token before',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: tokens grow over claim, takeover, release and claim' },
  },
  {
    name: 'fence-token-per-record',
    rule: 'fence',
    bug: 'tokens begin again when a record was erased',
    caughtBy: { file: 'store/memory.test.ts', test: 'fence: tokens grow over a record that was erased' },
  },
  {
    name: 'fence-token-loses-digits',
    rule: 'fence',
    bug: 'tokens are compared as floating-point numbers',
    caughtBy: { file: 'core/record.test.ts', test: 'are told apart beyond the integers that a number holds' },
  },
  {
    name: 'fence-verdict-unchecked',
    rule: 'fence',
    bug: 'a verdict is not compared with the token that it was given for',
    caughtBy: { file: 'store/memory.test.ts', test: 'resolve: changes nothing when the token or the state is another' },
  },
  {
    name: 'expiry-lease-inclusive',
    rule: 'expiry',
    bug: 'a lease lasts a millisecond longer than it was granted',
    caughtBy: { file: 'store/memory.test.ts', test: 'claim: in progress lasts to the last millisecond of the lease and not longer' },
  },
  {
    name: 'expiry-retention-inclusive',
    rule: 'expiry',
    bug: 'an outcome is replayed a millisecond longer than its retention',
    caughtBy: { file: 'store/memory.test.ts', test: 'ageing: replay, expired and free follow each other at the exact millisecond' },
  },
  {
    name: 'expiry-tombstone-inclusive',
    rule: 'expiry',
    bug: 'a key stays used a millisecond longer than its tombstone',
    caughtBy: { file: 'store/memory.test.ts', test: 'ageing: replay, expired and free follow each other at the exact millisecond' },
  },
  {
    name: 'expiry-uncertain-runs-again',
    rule: 'expiry',
    bug: 'an uncertain record is free for a new run once it is old',
    caughtBy: { file: 'store/memory.test.ts', test: 'uncertain: older than its tombstone it answers expired, and never runs' },
  },
  {
    name: 'expiry-quarantined-runs-again',
    rule: 'expiry',
    bug: 'a quarantined record is free for a new run once it is old',
    caughtBy: { file: 'store/memory.test.ts', test: 'ageing: what runs, is uncertain or is quarantined is never free by age' },
  },
  {
    name: 'expiry-counts-from-claim',
    rule: 'expiry',
    bug: 'retention counts from the claim instead of the completion',
    caughtBy: { file: 'store/memory.test.ts', test: 'ageing: counts from completion, not from the claim' },
  },
  {
    name: 'expiry-policy-of-today',
    rule: 'expiry',
    bug: "the ages of the claim's policy decide instead of the record's",
    caughtBy: { file: 'store/memory.test.ts', test: 'ageing: each record keeps the ages of its own policy' },
  },
  {
    name: 'expiry-sweeps-tombstones',
    rule: 'expiry',
    bug: 'the sweep removes keys that are still used',
    caughtBy: { file: 'store/memory.test.ts', test: 'sweep: removes completed records at the end of their tombstone, not before' },
  },
  {
    name: 'expiry-sweeps-unfinished',
    rule: 'expiry',
    bug: 'the sweep removes what nobody has ended',
    caughtBy: { file: 'store/memory.test.ts', test: 'sweep: leaves alone what has not ended' },
  },
  {
    name: 'expiry-not-applied-early',
    rule: 'expiry',
    bug: 'a record is freed while its effect can still arrive',
    caughtBy: { file: 'store/memory.test.ts', test: 'resolve: not applied is too early while an effect may still arrive' },
  },
  {
    name: 'begin-takeover-repeats',
    rule: 'begin',
    bug: 'a begun attempt whose lease ended is repeated',
    caughtBy: { file: 'store/memory.test.ts', test: 'takeover: an attempt that had begun is never repeated; its record is uncertain' },
  },
  {
    name: 'begin-release-frees',
    rule: 'begin',
    bug: 'a begun attempt frees its key without a proof',
    caughtBy: { file: 'store/memory.test.ts', test: 'release: of a begun attempt is refused and changes nothing' },
  },
  {
    name: 'begin-earlier-attempt-forgotten',
    rule: 'begin',
    bug: 'a declaration frees what an earlier attempt began',
    caughtBy: { file: 'store/memory.test.ts', test: 'begin: sticks to the record over attempts, so that a later one frees nothing' },
  },
  {
    name: 'begin-not-sticky',
    rule: 'begin',
    bug: 'a takeover forgets that effects may have started',
    caughtBy: { file: 'core/transition-property.test.ts', test: 'what began is never forgotten but by a proof, a verdict or a new life' },
  },
  {
    name: 'begin-lost-by-renewal',
    rule: 'begin',
    bug: 'a renewal forgets that effects may have started',
    caughtBy: { file: 'store/memory.test.ts', test: 'begin: is written with a renewal and stays' },
  },
  {
    name: 'replay-overwrites-outcome',
    rule: 'replay',
    bug: 'the second outcome of a record replaces the first',
    caughtBy: { file: 'store/memory.test.ts', test: 'replay: completing again with other bytes is a conflict, and the first stand' },
  },
  {
    name: 'replay-keeps-what-is-given-once',
    rule: 'replay',
    bug: 'an answer that must be given once is stored and replayed',
    caughtBy: {
      file: 'adapter/node.test.ts',
      test: 'R52: an answer given once leaves no bytes behind, and a retry is told where to recover',
    },
  },
  {
    name: 'expiry-lease-outlasts-retention',
    rule: 'expiry',
    bug: 'a lease may be as long as its answer is kept',
    caughtBy: {
      file: 'adapter/node.test.ts',
      test: 'R29: the end of a lease is not the end of its answer, and no lease outlasts an answer',
    },
  },
  {
    name: 'replay-compares-length',
    rule: 'replay',
    bug: 'outcomes of one length count as equal',
    caughtBy: { file: 'core/outcome.test.ts', test: 'differ by codec, by one byte and by length' },
  },
  {
    name: 'replay-ignores-codec',
    rule: 'replay',
    bug: 'outcomes of two codecs count as equal',
    caughtBy: { file: 'store/memory.test.ts', test: 'replay: equal bytes of another codec are another outcome' },
  },
  {
    name: 'replay-seal-reopens',
    rule: 'replay',
    bug: 'a late seal takes a completed outcome away',
    caughtBy: { file: 'store/memory.test.ts', test: 'seal: of what has ended otherwise is lost' },
  },
  {
    name: 'replay-late-owner-lost',
    rule: 'replay',
    bug: 'the late owner of an uncertain record cannot complete it',
    caughtBy: { file: 'store/memory.test.ts', test: 'uncertain: its late owner completes it while its token is the newest' },
  },
  {
    name: 'audit-no-takeover',
    rule: 'audit',
    bug: 'the trail calls a takeover a claim',
    caughtBy: { file: 'store/memory.test.ts', test: 'audit: a claim says who claimed and in which trace' },
  },
  {
    name: 'audit-counts-replace',
    rule: 'audit',
    bug: 'counts of one minute replace each other instead of adding up',
    caughtBy: { file: 'store/memory.test.ts', test: 'audit: counts of one record, minute and reason add up' },
  },
  {
    name: 'audit-erased-with-record',
    rule: 'audit',
    bug: 'erasing a record erases its trail',
    caughtBy: { file: 'store/memory.test.ts', test: 'forget: the trail stays and says who asked' },
  },
  {
    name: 'claim-half-written-step-stays',
    rule: 'claim',
    bug: 'what a failed step wrote is committed with the steps that share its commit',
    caughtBy: { file: 'store/sqlite-shared-commit.test.ts', test: 'do not fail with one of them, whose writes are undone' },
  },
  {
    name: 'claim-given-up-with-the-others',
    rule: 'claim',
    bug: 'steps are answered as done although SQLite gave up the transaction that they shared',
    caughtBy: {
      file: 'store/sqlite-shared-commit.test.ts',
      test: 'all fail, with nothing applied, when SQLite gives up their transaction',
    },
  },
  {
    name: 'claim-trusts-a-weak-store',
    rule: 'claim',
    bug: 'a store that survives less than the policy needs is used',
    caughtBy: { file: 'adapter/node.test.ts', test: 'R46: a store that survives less than the policy needs is refused, and nothing runs' },
  },
  {
    name: 'claim-replays-under-a-lost-secret',
    rule: 'claim',
    bug: 'a record under a lost secret counts as the same request',
    caughtBy: { file: 'adapter/node.test.ts', test: 'R54: a node that lacks the secret of a record refuses, and runs nothing' },
  },
  {
    name: 'replay-of-a-forgotten-key',
    rule: 'replay',
    bug: 'a process goes on replaying a key that an operator erased',
    caughtBy: { file: 'adapter/node.test.ts', test: 'R56: a key that is forgotten is new again, and its trail says why' },
  },
  {
    name: 'replay-of-what-was-rolled-back',
    rule: 'replay',
    bug: 'an outcome that was seen inside the user’s transaction is remembered beyond its roll-back',
    caughtBy: { file: 'core/engine-within.test.ts', test: 'the user’s roll-back undoes an outcome that the same transaction has replayed' },
  },
  ...cacheBugs,
  {
    name: 'expiry-by-the-clock-of-the-node',
    rule: 'expiry',
    bug: 'the node that asks decides by its own clock when an answer ages',
    caughtBy: { file: 'adapter/node.test.ts', test: 'R48: the store decides when an answer ages, whatever clock the asking node has' },
  },
  ...httpBugs,
  ...lifecycleBugs,
  ...lockBugs,
  ...outboxBugs,
  ...inboxBugs,
  ...stepBugs,
]
