export { EffectFailureReplayed, EffectNotApplied } from './effect-failure.ts'
export { stepRuntime } from './step-runtime.ts'
