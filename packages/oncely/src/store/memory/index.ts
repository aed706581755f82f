export { memoryOutbox } from './memory-outbox.ts'
export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
