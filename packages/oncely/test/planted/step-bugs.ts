import type { PlantedBug } from './planted-bugs.ts'

/** Ways to break what operations of steps promise. */
export const stepBugs: readonly PlantedBug[] = [
  {
    name: 'step-token-unchecked',
    rule: 'step',
    bug: 'a step of an owner that was overtaken is committed',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'steps: an owner that was overtaken inside its step rolls it back' },
  },
  {
    name: 'step-order-unchecked',
    rule: 'step',
    bug: 'a changed order of steps is not noticed',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'history: a changed order is refused, and nothing runs' },
  },
  {
    name: 'step-missing-unnoticed',
    rule: 'step',
    bug: 'a handler that leaves recorded steps out is completed',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'history: a missing step is refused, also when nothing follows it' },
  },
  {
    name: 'step-new-key-unproven',
    rule: 'step',
    bug: 'an ambiguous call is repeated under a new key',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'effect: is called again under the same key when its caller died in the call' },
  },
  {
    name: 'step-key-outlived',
    rule: 'step',
    bug: 'a call is repeated although the other side has forgotten its key',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'effect: is not called again once the other side has forgotten its key' },
  },
  {
    name: 'step-doubt-forgotten',
    rule: 'step',
    bug: 'a call that was not sent clears the doubt about the one before',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'effect: a call that was not sent says nothing of the one before' },
  },
  {
    name: 'step-undo-of-the-unknown',
    rule: 'step',
    bug: 'steps are taken back while an effect is unknown',
    caughtBy: { file: 'store/sqlite-steps.test.ts', test: 'undo: nothing is taken back while an effect is unknown' },
  },
  {
    name: 'step-redrive-forgets',
    rule: 'step',
    bug: 'an operation that an operator released begins anew',
    caughtBy: {
      file: 'store/sqlite-steps.test.ts',
      test: 'completer: goes on with what an operator released after a quarantine, from its recovery points',
    },
  },
  {
    name: 'step-after-the-decision',
    rule: 'step',
    bug: 'a new step runs after the decision to reject was stored',
    caughtBy: {
      file: 'store/sqlite-steps.test.ts',
      test: 'undo: nothing new runs once the decision is stored, whatever the handler decides then',
    },
  },
]
