import type { Hasher } from '../core/index.ts'

// SHA-256 as in FIPS 180-4 §6.2, in plain JavaScript, so that a simulated world needs nothing of the platform.

const BLOCK_BYTES = 64
const LENGTH_BYTES = 8
const PRIMES = firstPrimes(64)
/** §4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const ROUND_CONSTANTS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)))
/** §5.3.3: the same of the square roots of the first 8. */
const INITIAL_STATE = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)))

/** The results of the platform's hasher, some hundred times slower. */
export const plainHasher: Hasher = { sha256, hmacSha256 }

function sha256(data: Uint8Array): Uint8Array {
  const paddedLength = Math.ceil((data.length + 1 + LENGTH_BYTES) / BLOCK_BYTES) * BLOCK_BYTES
  const padded = new Uint8Array(paddedLength)
  padded.set(data)
  padded[data.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setBigUint64(paddedLength - LENGTH_BYTES, BigInt(data.length) * 8n)

  const state = INITIAL_STATE.slice()
  const schedule = new Int32Array(64)
  for (let at = 0; at < paddedLength; at += BLOCK_BYTES) compress(state, view, at, schedule)
  const digest = new DataView(new ArrayBuffer(32))
  for (const [nth, word] of state.entries()) digest.setInt32(4 * nth, word)
  return new Uint8Array(digest.buffer)
}

function compress(state: Int32Array, view: DataView, at: number, schedule: Int32Array): void {
  for (let t = 0; t < 16; t++) schedule[t] = view.getInt32(at + 4 * t)
  for (let t = 16; t < 64; t++) {
    const w15 = schedule[t - 15] as number
    const w2 = schedule[t - 2] as number
    const sigma0 = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >>> 3)
    const sigma1 = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >>> 10)
    schedule[t] = (schedule[t - 16] as number) + sigma0 + (schedule[t - 7] as number) + sigma1
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number]
  for (let t = 0; t < 64; t++) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const temporary1 = (h + sum1 + ((e & f) ^ (~e & g)) + (ROUND_CONSTANTS[t] as number) + (schedule[t] as number)) | 0
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const temporary2 = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + temporary1) | 0
    d = c
    c = b
    b = a
    a = (temporary1 + temporary2) | 0
  }
  for (const [nth, word] of [a, b, c, d, e, f, g, h].entries()) state[nth] = (state[nth] as number) + word
}

/** RFC 2104 §2. */
function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES)
  block.set(key.length > BLOCK_BYTES ? sha256(key) : key)
  const inner = sha256(
    joined(
      block.map((byte) => byte ^ 0x36),
      data,
    ),
  )
  return sha256(
    joined(
      block.map((byte) => byte ^ 0x5c),
      inner,
    ),
  )
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  return bytes
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}

/** The first 32 bits after the point. */
function fraction(value: number): number {
  return ((value % 1) * 2 ** 32) | 0
}

function firstPrimes(count: number): number[] {
  const primes: number[] = []
  for (let candidate = 2; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate)
  }
  return primes
}
