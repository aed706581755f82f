import { Command, Option } from 'commander'
import { createOncely, type Oncely, type PolicyName } from 'oncely'
import { ClaimsServer } from '../claims/claims-server.ts'
import { type CredentialFlags, readCredentials } from '../identity/credential-file.ts'
import { defaultStoreUrl, namedStore } from '../store/named-store.ts'
import { type ExitCode, exitCodes, type Surroundings } from './console.ts'
import { addCredentialOptions } from './credential-option.ts'
import { policyOptions } from './gateway-flag.ts'
import { stopSignal } from './gateway-run.ts'
import { wholeNumber } from './store-option.ts'

interface ClaimsFlags extends CredentialFlags {
  readonly principal?: string
  readonly store: string
  readonly migrate?: boolean
  readonly namespace: string
  readonly host: string
  readonly port: number
  readonly policy: string
  readonly policyOption: readonly string[]
  readonly rate: number
  readonly burst: number
  readonly bodyBytesMax: number
  readonly drainMs: number
}

/** `claims`: serves the claims API until it is told to stop, then drains. */
export function claimsCommand(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]
  return addCredentialOptions(new Command('claims'))
    .description('serves the claims API: idempotency for services in any language')
    .addOption(
      new Option('--principal <form>', 'which service calls: api-key, jwt, mtls, header:NAME or anonymous; no default').env(
        'ONCELY_PRINCIPAL',
      ),
    )
    .addOption(new Option('--store <url>', 'sqlite:FILE or postgres://…').env('ONCELY_STORE').default(defaultStoreUrl))
    .option('--migrate', 'bring the schema of a PostgreSQL store up to date at the start')
    .option('--namespace <name>', 'keeps these records apart from others in the same store', 'claims')
    .option('--port <number>', 'where to listen; 0 takes a free port', wholeNumber, 8081)
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--policy <name>', 'financial, standard or telemetry', 'standard')
    .option('--policy-option <name=value>', 'one value of the policy, such as lease=1m; may be repeated', collect, [])
    .option('--rate <requests>', 'requests a second and caller', wholeNumber, 100)
    .option('--burst <requests>', 'how many of them may come at once', wholeNumber, 200)
    .option('--body-bytes-max <bytes>', 'largest body of a request', wholeNumber, 1_048_576)
    .option('--drain-ms <ms>', 'longest time for what runs when the server is told to stop', wholeNumber, 10_000)
    .action(async (flags: ClaimsFlags) => {
      await runClaims(flags, surroundings)
      end(exitCodes.done)
    })
}

async function runClaims(flags: ClaimsFlags, { stdout, stderr, env }: Surroundings): Promise<void> {
  const { principal, rate, burst, policy, policyOption } = flags
  const credentials = readCredentials(flags)
  const secret = env['ONCELY_SECRET']
  const named = await namedStore(flags.store, { migrate: flags.migrate === true })
  try {
    const oncely = createOncely({
      namespace: flags.namespace,
      store: named.store,
      secrets: secret === undefined ? [] : [{ id: 1, key: secret }],
      limits: { bodyBytesMax: flags.bodyBytesMax, drainMs: flags.drainMs },
    }) as unknown as Oncely<never>
    const server = new ClaimsServer({
      ...credentials,
      oncely,
      // Missing is told by the server, with the forms there are.
      principal: principal as string,
      policy: [policy as PolicyName, policyOptions(policyOption)],
      rate,
      burst,
      onError: (error) => stderr.write(`oncely claims: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`),
    })
    const stop = stopSignal()
    try {
      await oncely.start({ sweeper: true })
      const { address, port, family } = await server.listen(flags.port, flags.host)
      const scheme = credentials.tls === undefined ? 'http' : 'https'
      stdout.write(
        `oncely claims: ${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}/v1/claims, records in ${named.label}\n`,
      )
      await stop
    } finally {
      await server.drain()
    }
  } finally {
    await named.close().catch(() => {})
  }
}
