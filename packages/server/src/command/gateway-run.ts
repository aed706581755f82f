import { ConfigurationError, createOncely, type Oncely, type Store } from 'oncely'
import { FileWatch } from '../config/file-watch.ts'
import { Gateway } from '../gateway/gateway.ts'
import type { GatewayOptions } from '../gateway/gateway-options.ts'
import { CallerSource } from '../identity/caller.ts'
import { credentialFiles } from '../identity/credential-file.ts'
import { namedStore } from '../store/named-store.ts'
import type { Surroundings } from './console.ts'
import { type GatewayFlags, gatewayOptions } from './gateway-flag.ts'

/** Runs a gateway until SIGTERM or SIGINT. SIGHUP, or a file that changed, puts a new configuration in force where it is a good one. */
export async function runGateway(read: () => GatewayFlags, { stdout, stderr, env }: Surroundings): Promise<void> {
  const watch = new FileWatch()
  const flags = watch.reading(read, filesOf)
  checkCaller(flags)
  const checked = gatewayOptions(flags)
  const named = await namedStore(flags.store, { migrate: flags.migrate === true })
  const say = (text: string): unknown => stderr.write(`oncely gateway: ${text}\n`)
  const withStore = (options: Omit<GatewayOptions, 'oncely'>, { store }: { store: Store }, from: GatewayFlags): GatewayOptions => ({
    ...options,
    oncely: instance(from, store, env),
    onError: (error) => say(error instanceof Error ? (error.stack ?? error.message) : String(error)),
  })
  try {
    const options = withStore(checked, named, flags)
    const gateway = new Gateway(options)
    const stop = stopSignal()
    const reload = async (): Promise<void> => {
      try {
        const next = watch.reading(read, filesOf)
        checkUnchanged(flags, next)
        checkCaller(next)
        const replacement = withStore(gatewayOptions(next), named, next)
        await gateway.reload(replacement)
        await replacement.oncely.start({ sweeper: true })
        stdout.write('oncely gateway: the new configuration is in force\n')
      } catch (error) {
        say(`the configuration stays as it was: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    try {
      await options.oncely.start({ sweeper: true })
      const { address, port, family } = await gateway.listen(flags.port, flags.host)
      watch.start(reload, flags.watch !== false)
      const scheme = options.tls === undefined ? 'http' : 'https'
      stdout.write(
        `oncely gateway: ${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port} → ${flags.upstream}, records in ${named.label}\n`,
      )
      await stop
    } finally {
      await watch.stop()
      await gateway.drain()
    }
  } finally {
    await named.close().catch(() => {})
  }
}

function instance(flags: GatewayFlags, store: Store, env: Surroundings['env']): Oncely<never> {
  const secret = env['ONCELY_SECRET']
  return createOncely({
    namespace: flags.namespace,
    store,
    secrets: secret === undefined ? [] : [{ id: 1, key: secret }],
    limits: { bodyBytesMax: flags.bodyBytesMax, responseBytesMax: flags.responseBytesMax, drainMs: flags.drainMs },
  }) as unknown as Oncely<never>
}

/** Says what is wrong with the caller before a store is made. */
function checkCaller(flags: GatewayFlags): void {
  if (flags.principal === undefined) void new CallerSource({})
}

function filesOf(flags: GatewayFlags): string[] {
  return [...(flags.config === undefined ? [] : [flags.config]), ...credentialFiles(flags)]
}

const fixed = ['store', 'migrate', 'namespace', 'host', 'port'] as const

function checkUnchanged(before: GatewayFlags, after: GatewayFlags): void {
  const changed = fixed.filter((name) => before[name] !== after[name])
  if (changed.length > 0)
    throw new ConfigurationError(`${changed.join(', ')} changed, which needs a restart; all else can change while it runs.`)
}

/** Waits until the process is told to stop. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}
