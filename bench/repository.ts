import { join } from 'node:path'

/** Compiled benchmarks lie in `bench/.build`. */
export const root: string = join(import.meta.dirname, '../..')

/** Where the compiled benchmarks lie, for the processes that they start. */
export const compiled: string = import.meta.dirname

/** The parts of the library that have no public door and are measured all the same. */
export const library: string = join(root, 'packages/oncely/dist')

/** For files that a benchmark writes: on the disk of the checkout, not in memory. */
export const scratch: string = join(root, '.cache/bench')
