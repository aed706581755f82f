import { randomUUID } from 'node:crypto'
import type { Random } from '../core/index.ts'

/** The platform's cryptographic generator for ids; the fraction is for jitter only. */
export const nodeRandom: Random = { uuid: () => randomUUID(), fraction: () => Math.random() }
