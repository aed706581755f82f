import type { Random } from '../core/index.ts'

/** Seeded randomness (Marsaglia's xorshift128): the same seed gives the same numbers and ids on every machine. */
export class SimRandom implements Random {
  readonly #seed: string
  #x: number
  #y: number
  #z: number
  #w: number

  constructor(seed: string | number) {
    this.#seed = String(seed)
    const words = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 0xdeadbeef].map((basis) => hashed(this.#seed, basis))
    ;[this.#x, this.#y, this.#z, this.#w] = words as [number, number, number, number]
    for (let turn = 0; turn < 16; turn++) this.#next()
  }

  /** A stream of its own: draws from one part of a world do not shift those of another. */
  fork(label: string): SimRandom {
    return new SimRandom(`${this.#seed}/${label}`)
  }

  fraction(): number {
    return this.#next() / 2 ** 32
  }

  uuid(): string {
    const hex = [this.#next(), this.#next(), this.#next(), this.#next()].map((word) => word.toString(16).padStart(8, '0')).join('')
    const variant = '89ab'[Number.parseInt(hex[16] as string, 16) % 4] as string
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** A whole number, both ends included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1))
  }

  /** A number in [min, max). */
  between(min: number, max: number): number {
    return min + this.fraction() * (max - min)
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.fraction() * choices.length)] as T
  }

  #next(): number {
    const t = this.#x ^ (this.#x << 11)
    this.#x = this.#y
    this.#y = this.#z
    this.#z = this.#w
    this.#w = (this.#w ^ (this.#w >>> 19) ^ t ^ (t >>> 8)) >>> 0
    return this.#w
  }
}

/** FNV-1a with a final avalanche; never 0, because a generator of zeros stays there. */
function hashed(text: string, basis: number): number {
  let hash = basis >>> 0
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0 || basis
}
