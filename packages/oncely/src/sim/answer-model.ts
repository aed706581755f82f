import type { SequentialModel } from '../testing/index.ts'

/** A call as its client knows it: which payload it carried. */
export interface AnsweredCall {
  readonly payload: string
}

/**
 * What a client may learn for good: the `outcome` (ran now or before), or that the key has another payload. Every other answer
 * says nothing: the call may or may not decide the outcome, now or later.
 */
export type Answered = { readonly word: 'outcome'; readonly outcome: string } | { readonly word: 'other-payload' }

interface Decided {
  readonly payload: string
  /** Undefined while only an unanswered call knows it. */
  readonly outcome: string | undefined
}

/** One key as its clients may see it: undecided, and then one outcome of one payload for ever. */
export const answerModel: SequentialModel<Decided | undefined, AnsweredCall, Answered> = {
  initial: undefined,
  step: (decided, { payload }, answered) => {
    switch (answered.word) {
      case 'other-payload':
        return decided?.payload === payload ? [] : [decided]
      case 'outcome': {
        const { outcome } = answered
        if (decided === undefined) return [{ payload, outcome }]
        return decided.payload === payload && (decided.outcome ?? outcome) === outcome ? [{ payload, outcome }] : []
      }
      default:
        return answered satisfies never
    }
  },
  stepUnknown: (decided, { payload }) => [decided ?? { payload, outcome: undefined }],
  inputKeyOf: ({ payload }) => payload,
  keyOf: (decided) => (decided === undefined ? '' : `${decided.payload} ${decided.outcome ?? '?'}`),
}
