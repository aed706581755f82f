export { handle } from './handle.ts'
export { reject, type ToolCallback, type ToolExtra, type ToolOptions } from './tool-call.ts'
export type { ToolProblem } from './tool-problem.ts'
