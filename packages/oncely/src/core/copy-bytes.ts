/** Up to this many bytes a loop is faster than `set` with its view. */
const COPY_LOOP_MAX = 24

/** Copies `from[start, end)` to `to`, beginning at `at`. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > COPY_LOOP_MAX) to.set(from.subarray(start, end), at)
  else for (let read = start, write = at; read < end; read++, write++) to[write] = from[read] as number
}
