import { EffectAmbiguous, StepHistoryMismatch } from '../core/index.ts'

/** An error that ends the attempt and takes the operation out of every automatic hand, with the reason that is stored. */
export class Parked extends Error {
  readonly reason: string
  /** What the caller is thrown. */
  readonly told: Error

  constructor(reason: string, told: Error) {
    super(reason)
    this.reason = reason
    this.told = told
  }
}

export function mismatch(message: string): Parked {
  return new Parked('the handler does not repeat its recorded steps', new StepHistoryMismatch(message))
}

export function parkedEffect(name: string, reason: string, cause?: unknown): Parked {
  return new Parked(`effect "${name}": ${reason}`, new EffectAmbiguous(`Effect "${name}" is left to an operator: ${reason}.`, { cause }))
}
