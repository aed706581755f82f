/** What the client takes from its surroundings; tests hand in their own. */
export interface ClientPlatform {
  /** Wall clock, for the age of a stored key and for dates in `Retry-After`. */
  nowMs(): number
  /** Never goes back; waits and the deadline are measured with it. */
  monotonicMs(): number
  /** Calls `run` once after the delay; the answer cancels it. */
  after(delayMs: number, run: () => void): () => void
  /** From 0 up to, but not including, 1; for jitter only. */
  fraction(): number
  /** A fresh random key: a UUID of version 4. */
  uuid(): string
}

/** Browser, Node and edge run times alike. */
export const clientPlatform: ClientPlatform = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
  fraction: () => Math.random(),
  // Browsers give `randomUUID` to secure pages only; the bytes are there on every page.
  uuid: () => crypto.randomUUID?.() ?? uuidText(randomBytes(), 4),
}

/** Milliseconds since 1970 of an HTTP date; `NaN` for anything else. */
export function dateMs(text: string): number {
  return Date.parse(text)
}

/** Sixteen bytes that nobody can guess. */
export function randomBytes(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(16))
}

/** Writes sixteen bytes as a UUID (RFC 9562 §4), the version and variant in their places. */
export function uuidText(bytes: Uint8Array, version: number): string {
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4)
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
