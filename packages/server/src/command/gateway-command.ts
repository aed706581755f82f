import { Command, Option } from 'commander'
import { ConfigurationError, createOncely, type Oncely, type PolicyName, type PolicyOptions } from 'oncely'
import { type GatewayConfig, policyOptionsOf, readGatewayConfig } from '../config/gateway-config.ts'
import { Gateway, type GatewayOptions } from '../gateway/gateway.ts'
import type { GatewayRoute } from '../gateway/gateway-protection.ts'
import { principalSource } from '../gateway/principal.ts'
import { defaultStoreUrl, namedStore } from '../store/named-store.ts'
import { type ExitCode, exitCodes, type Surroundings } from './console.ts'
import { wholeNumber } from './store-option.ts'

interface GatewayFlags {
  readonly config?: string
  readonly policyOptions?: GatewayConfig['policyOptions']
  readonly routes?: GatewayConfig['routes']
  readonly upstream?: string
  readonly principal?: string
  readonly actor?: string
  readonly store: string
  readonly migrate?: boolean
  readonly namespace: string
  readonly operation: string
  readonly port: number
  readonly host: string
  readonly policy: string
  readonly policyOption: readonly string[]
  readonly methods: string | readonly string[]
  readonly key: string
  readonly notApplied?: string | readonly number[]
  readonly bodyBytesMax: number
  readonly responseBytesMax: number
  readonly heldBytesMax: number
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly drainMs: number
}

/** `gateway`: runs until it is told to stop, then drains. */
export function gatewayCommand(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  return new Command('gateway')
    .description('runs a reverse proxy that lets each Idempotency-Key take effect once')
    .option('--config <file>', 'YAML or JSON; what stands on the command line or in the environment comes first')
    .addOption(fromEnvironment('UPSTREAM', '--upstream <url>', 'the service behind the gateway, such as http://127.0.0.1:3000'))
    .addOption(fromEnvironment('PRINCIPAL', '--principal <form>', 'who a key belongs to: header:NAME or anonymous; there is no default'))
    .option('--actor <form>', 'who acts for the principal: header:NAME; with replayTo=actor nobody else gets the replay')
    .addOption(fromEnvironment('STORE', '--store <url>', 'sqlite:FILE or postgres://…').default(defaultStoreUrl))
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
    .option('--held-bytes-max <bytes>', 'most bytes of bodies with a key that are held at once', wholeNumber, 268_435_456)
    .option('--connect-timeout-ms <ms>', 'longest wait for a connection to the service', wholeNumber, 10_000)
    .option('--headers-timeout-ms <ms>', "longest wait for the head of the service's answer", wholeNumber, 30_000)
    .option('--body-timeout-ms <ms>', 'longest silence inside an answer', wholeNumber, 30_000)
    .option('--request-timeout-ms <ms>', 'longest time for a client to send a request', wholeNumber, 300_000)
    .option('--drain-ms <ms>', 'longest time for what runs when the gateway is told to stop', wholeNumber, 10_000)
    .action(async (flags: GatewayFlags, command: Command) => {
      await runGateway(flags.config === undefined ? flags : withConfig(flags, readGatewayConfig(flags.config), command), surroundings)
      end(exitCodes.done)
    })
}

function fromEnvironment(name: string, flags: string, description: string): Option {
  return new Option(flags, description).env(`ONCELY_${name}`)
}

/** The flags, and what the file says where no flag was given. */
function withConfig(flags: GatewayFlags, config: GatewayConfig, command: Command): GatewayFlags {
  const given = Object.entries(flags).filter(([name]) => !['default', undefined].includes(command.getOptionValueSource(name)))
  const { $schema: _, ...values } = config
  return { ...flags, ...values, ...Object.fromEntries(given) } as GatewayFlags
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
    try {
      await oncely.start({ sweeper: true })
      const { address, port, family } = await gateway.listen(flags.port, flags.host)
      stdout.write(
        `oncely gateway: http://${family === 'IPv6' ? `[${address}]` : address}:${port} → ${flags.upstream}, records in ${named.label}\n`,
      )
      await stop
    } finally {
      await gateway.drain()
    }
  } finally {
    await named.close().catch(() => {})
  }
}

function gatewayOptions(flags: GatewayFlags, upstream: string, principal: string): Omit<GatewayOptions, 'oncely'> {
  const { operation, heldBytesMax, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs, requestTimeoutMs, key } = flags
  if (key !== 'required' && key !== 'optional')
    throw new ConfigurationError(`--key is ${JSON.stringify(key)}; it must be required or optional.`)
  return {
    upstream,
    principal,
    ...(flags.actor === undefined ? {} : { actor: flags.actor }),
    operation,
    key,
    heldBytesMax,
    connectTimeoutMs,
    headersTimeoutMs,
    bodyTimeoutMs,
    requestTimeoutMs,
    policy: [flags.policy as PolicyName, { ...policyOptionsOf(flags.policyOptions), ...policyOptions(flags.policyOption) }],
    methods: typeof flags.methods === 'string' ? flags.methods.split(',').map((method) => method.trim()) : flags.methods,
    notApplied: typeof flags.notApplied === 'string' ? flags.notApplied.split(',').map(statusOf) : (flags.notApplied ?? []),
    routes: (flags.routes ?? []).map((route) => routeOptions(route, flags)),
  }
}

function routeOptions(route: NonNullable<GatewayConfig['routes']>[number], flags: GatewayFlags): GatewayRoute {
  const { path, operation, policy, policyOptions: own, methods, key, notApplied } = route
  // Numbers that were chosen for one preset say nothing about another.
  const inherited = policy === undefined ? { ...policyOptionsOf(flags.policyOptions), ...policyOptions(flags.policyOption) } : {}
  return {
    path,
    operation,
    policy: [(policy ?? flags.policy) as PolicyName, { ...inherited, ...policyOptionsOf(own) }],
    ...(methods === undefined ? {} : { methods }),
    ...(key === undefined ? {} : { key }),
    ...(notApplied === undefined ? {} : { notApplied }),
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
