import type { StepRuntime } from '../core/index.ts'
import { Completer } from './completer.ts'
import { HandledOperation } from './step-operation.ts'

/** The machinery of steps, which `createOncely` hands to its instance. */
export const stepRuntime: StepRuntime = {
  operation: (definition, engine) => new HandledOperation(definition, engine),
  complete: (parts, operations, options) => new Completer(parts, operations, options),
}
