import { Command, Option } from 'commander'
import { type GatewayConfig, readGatewayConfig } from '../config/gateway-config.ts'
import { defaultStoreUrl } from '../store/named-store.ts'
import { type ExitCode, exitCodes, type Surroundings } from './console.ts'
import { addCredentialOptions } from './credential-option.ts'
import type { GatewayFlags } from './gateway-flag.ts'
import { runGateway } from './gateway-run.ts'
import { wholeNumber } from './store-option.ts'

/** `gateway`: runs until it is told to stop, then drains. */
export function gatewayCommand(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  return addCredentialOptions(new Command('gateway'))
    .description('runs a reverse proxy that lets each Idempotency-Key take effect once')
    .option('--config <file>', 'YAML or JSON; what stands on the command line or in the environment comes first')
    .addOption(fromEnvironment('UPSTREAM', '--upstream <url>', 'the service behind the gateway, such as http://127.0.0.1:3000'))
    .addOption(
      fromEnvironment('PRINCIPAL', '--principal <form>', 'who a key belongs to: header:NAME, jwt, api-key, mtls or anonymous; no default'),
    )
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
    .option('--no-watch', 'read the files of the configuration again on SIGHUP only, not when they change')
    .action(async (flags: GatewayFlags, command: Command) => {
      const read = (): GatewayFlags => (flags.config === undefined ? flags : withConfig(flags, readGatewayConfig(flags.config), command))
      await runGateway(read, surroundings)
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

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
