export { type ScheduledJob, type ScheduledOptions, scheduled, type TickContext } from './scheduled.ts'
