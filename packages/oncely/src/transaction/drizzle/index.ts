export { type DrizzleClient, type DrizzleDatabase, type DrizzleExecutor, type DrizzleTx, fromDrizzle } from './drizzle-layer.ts'
