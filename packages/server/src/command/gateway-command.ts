import { Command } from 'commander'
import { ConfigurationError, createOncely, type Oncely, type PolicyName, type PolicyOptions } from 'oncely'
import { Gateway, type GatewayOptions } from '../gateway/gateway.ts'
import { principalSource } from '../gateway/principal.ts'
import { defaultStoreUrl, namedStore } from '../store/named-store.ts'
import { type ExitCode, exitCodes, type Surroundings } from './console.ts'
import { wholeNumber } from './store-option.ts'

interface GatewayFlags {
  readonly upstream?: string
  readonly principal?: string
  readonly store: string
  readonly migrate?: boolean
  readonly namespace: string
  readonly operation: string
  readonly port: number
  readonly host: string
  readonly policy: string
  readonly policyOption: readonly string[]
  readonly methods: string
  readonly key: string
  readonly notApplied?: string
  readonly bodyBytesMax: number
  readonly responseBytesMax: number
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly drainMs: number
}

/** `gateway`: runs until it is told to stop, then drains. */
export function gatewayCommand(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  const { env } = surroundings
  return new Command('gateway')
    .description('runs a reverse proxy that lets each Idempotency-Key take effect once')
    .option('--upstream <url>', 'the service behind the gateway, such as http://127.0.0.1:3000', env['ONCELY_UPSTREAM'])
    .option('--principal <form>', 'who a key belongs to: header:NAME or anonymous; there is no default', env['ONCELY_PRINCIPAL'])
    .option('--store <url>', 'sqlite:FILE or postgres://…', env['ONCELY_STORE'] ?? defaultStoreUrl)
    .option('--migrate', 'bring the schema of a PostgreSQL store up to date at the start')
    .option('--namespace <name>', 'keeps the records of this service apart from others in the same store', 'gateway')
    .option('--operation <name>', 'part of every fingerprint', 'gateway')
    .option('--port <number>', 'where to listen; 0 takes a free port', wholeNumber, 8080)
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--policy <name>', 'financial, standard or telemetry', 'standard')
    .option('--policy-option <name=value>', 'one value of the policy, such as lease=1m; may be repeated', collect, [])
    .option('--methods <list>', 'methods whose keys count', 'POST,PATCH')
    .option('--key <required|optional>', 'whether such a request may come without a key', 'optional')
    .option('--not-applied <statuses>', 'statuses with which the service says that nothing happened, such as 401,429')
    .option('--body-bytes-max <bytes>', 'largest body with a key', wholeNumber, 1_048_576)
    .option('--response-bytes-max <bytes>', 'largest answer that is kept', wholeNumber, 1_048_576)
    .option('--connect-timeout-ms <ms>', 'longest wait for a connection to the service', wholeNumber, 10_000)
    .option('--headers-timeout-ms <ms>', "longest wait for the head of the service's answer", wholeNumber, 30_000)
    .option('--body-timeout-ms <ms>', 'longest silence inside an answer', wholeNumber, 30_000)
    .option('--request-timeout-ms <ms>', 'longest time for a client to send a request', wholeNumber, 300_000)
    .option('--drain-ms <ms>', 'longest time for what runs when the gateway is told to stop', wholeNumber, 10_000)
    .action(async (flags: GatewayFlags) => {
      await runGateway(flags, surroundings)
      end(exitCodes.done)
    })
}

async function runGateway(flags: GatewayFlags, { stdout, stderr, env }: Surroundings): Promise<void> {
  principalSource(flags.principal)
  if (flags.upstream === undefined)
    throw new ConfigurationError('The gateway needs --upstream: the service behind it, such as --upstream http://127.0.0.1:3000.')
  const secret = env['ONCELY_SECRET']
  const named = await namedStore(flags.store, { migrate: flags.migrate === true })
  try {
    const oncely = createOncely({
      namespace: flags.namespace,
      store: named.store,
      secrets: secret === undefined ? [] : [{ id: 1, key: secret }],
      limits: { bodyBytesMax: flags.bodyBytesMax, responseBytesMax: flags.responseBytesMax, drainMs: flags.drainMs },
    }) as unknown as Oncely<never>
    const gateway = new Gateway({
      ...gatewayOptions(flags, flags.upstream, flags.principal as string),
      oncely,
      onError: (error) => stderr.write(`oncely gateway: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`),
    })
    const stop = stopSignal()
    const { address, port, family } = await gateway.listen(flags.port, flags.host)
    await oncely.start({ sweeper: true })
    stdout.write(
      `oncely gateway: http://${family === 'IPv6' ? `[${address}]` : address}:${port} → ${flags.upstream}, records in ${named.label}\n`,
    )
    await stop
    await gateway.drain()
  } finally {
    await named.close().catch(() => {})
  }
}

function gatewayOptions(flags: GatewayFlags, upstream: string, principal: string): Omit<GatewayOptions, 'oncely'> {
  const { operation, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs, requestTimeoutMs, key } = flags
  if (key !== 'required' && key !== 'optional')
    throw new ConfigurationError(`--key is ${JSON.stringify(key)}; it must be required or optional.`)
  return {
    upstream,
    principal,
    operation,
    key,
    connectTimeoutMs,
    headersTimeoutMs,
    bodyTimeoutMs,
    requestTimeoutMs,
    policy: [flags.policy as PolicyName, policyOptions(flags.policyOption)],
    methods: flags.methods.split(',').map((method) => method.trim().toUpperCase()),
    notApplied: flags.notApplied === undefined ? [] : flags.notApplied.split(',').map(statusOf),
  }
}

function statusOf(text: string): number {
  if (!/^[2-5]\d\d$/.test(text.trim()))
    throw new ConfigurationError(`--not-applied names ${JSON.stringify(text)}; write statuses from 200 to 599, such as 401,429.`)
  return Number(text)
}

/** `lease=1m` and its like; names and values are judged by the policy. */
function policyOptions(pairs: readonly string[]): PolicyOptions {
  const entries = pairs.map((pair) => {
    const at = pair.indexOf('=')
    if (at < 1) throw new ConfigurationError(`--policy-option is ${JSON.stringify(pair)}; write name=value, such as lease=1m.`)
    const value = pair.slice(at + 1)
    return [pair.slice(0, at), /^\d+$/.test(value) ? Number(value) : value] as const
  })
  return Object.fromEntries(entries) as PolicyOptions
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}
