import { ConfigurationError, checkBound, isSinkName, type OutboxSink, type RelayOptions } from '../core/index.ts'

/** How long a sink that was told to stop may take to say what it had sent. */
export const graceMs = 1_000

/** The options with every default filled in. @throws ConfigurationError for what cannot work. */
export function checkRelayOptions(options: RelayOptions): Required<RelayOptions> {
  const checked: Required<RelayOptions> = {
    attemptsMax: checkBound('relayOptions.attemptsMax', options.attemptsMax, { preset: 10, min: 1, max: 1_000_000 }),
    backoffMs: checkBound('relayOptions.backoffMs', options.backoffMs, { preset: 500, min: 1, max: 3_600_000 }),
    backoffMaxMs: checkBound('relayOptions.backoffMaxMs', options.backoffMaxMs, { preset: 60_000, min: 1, max: 86_400_000 }),
    pollMinMs: checkBound('relayOptions.pollMinMs', options.pollMinMs, { preset: 50, min: 1, max: 60_000 }),
    pollMaxMs: checkBound('relayOptions.pollMaxMs', options.pollMaxMs, { preset: 2_000, min: 1, max: 3_600_000 }),
    leaseMs: checkBound('relayOptions.leaseMs', options.leaseMs, { preset: 30_000, min: 3_000, max: 3_600_000 }),
    sendTimeoutMs: checkBound('relayOptions.sendTimeoutMs', options.sendTimeoutMs, { preset: 10_000, min: 1, max: 3_600_000 }),
    batchMax: checkBound('relayOptions.batchMax', options.batchMax, { preset: 100, min: 1, max: 10_000 }),
    bucketsMax: checkBound('relayOptions.bucketsMax', options.bucketsMax, { preset: 8, min: 1, max: 64 }),
  }
  if (checked.sendTimeoutMs + 2 * graceMs > checked.leaseMs)
    throw new ConfigurationError(
      `relayOptions.sendTimeoutMs is ${checked.sendTimeoutMs} and relayOptions.leaseMs ${checked.leaseMs}: another relay would send while a batch is out. Keep the lease at least ${2 * graceMs} ms longer.`,
    )
  if (checked.pollMinMs > checked.pollMaxMs)
    throw new ConfigurationError(
      `relayOptions.pollMinMs is ${checked.pollMinMs}, more than relayOptions.pollMaxMs ${checked.pollMaxMs}; lower the first or raise the second.`,
    )
  return checked
}

/** The sinks by the name that messages call them by; the empty name is the first one's too. */
export function sinksByName(sinks: readonly OutboxSink[]): ReadonlyMap<string, OutboxSink> {
  const [first] = sinks
  if (first === undefined) throw new ConfigurationError('start({ relay }) got no sink; give it at least one, such as webhookSink(…).')
  const named = new Map<string, OutboxSink>([['', first]])
  for (const sink of sinks) {
    if (!isSinkName(sink.name))
      throw new ConfigurationError(
        `A sink is named ${JSON.stringify(sink.name)}; use 1 to 64 letters, digits, dots, dashes or underscores: messages are kept under it.`,
      )
    if (named.has(sink.name)) throw new ConfigurationError(`Two sinks are named "${sink.name}"; give one of them another name.`)
    named.set(sink.name, sink)
  }
  return named
}
