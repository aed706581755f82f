import type { StoreInfo } from '../../core/index.ts'

/** `PRAGMA synchronous`: 0 off, 1 normal, 2 full, 3 extra. */
export function survival(synchronous: number): Pick<StoreInfo, 'survives' | 'survivesBecause'> {
  if (synchronous >= 2)
    return {
      survives: 'power',
      survivesBecause:
        'WAL with synchronous = FULL: every commit is flushed to the disk before it is answered; the disk itself has no copy',
    }
  return {
    survives: 'restart',
    survivesBecause: `WAL with synchronous = ${synchronous === 1 ? 'NORMAL' : 'OFF'}: a power cut can lose the newest commits`,
  }
}
