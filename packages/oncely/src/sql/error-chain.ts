/**
 * An error and what it wraps, at most ten deep, nearest first. Data layers keep the driver's error under names of their own: Prisma
 * under `meta`, its driver adapters under `driverAdapterError`, TypeORM under `driverError`.
 */
export function errorChain(error: unknown): readonly Readonly<Record<string, unknown>>[] {
  const found: Record<string, unknown>[] = []
  const waiting: unknown[] = [error]
  while (waiting.length > 0 && found.length < 10) {
    const next = waiting.shift()
    if (typeof next !== 'object' || next === null || found.includes(next as Record<string, unknown>)) continue
    const { cause, meta, driverAdapterError, driverError, errors } = next as Record<string, unknown>
    found.push(next as Record<string, unknown>)
    waiting.push(cause, meta, driverAdapterError, driverError, ...(Array.isArray(errors) ? errors : []))
  }
  return found
}
