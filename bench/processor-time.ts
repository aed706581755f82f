/** Processor time of this process in microseconds, user and system, all its threads. */
export function processorTimeUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
