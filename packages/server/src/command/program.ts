import { Command, CommanderError } from 'commander'
import { isOncelyError } from 'oncely'
import { apiKeyCommand } from './api-key-command.ts'
import { claimsCommand } from './claims-command.ts'
import { type ExitCode, exitCodeOf, exitCodes, type Surroundings } from './console.ts'
import { gatewayCommand } from './gateway-command.ts'
import { eraseCommand, holdCommand } from './lifecycle-command.ts'
import { inspectCommand, resolveCommand } from './record-command.ts'
import { doctorCommand, grantsCommand, migrateCommand, policyCommand, schemaCommand, statsCommand, sweepCommand } from './upkeep-command.ts'

/** Runs the command line and answers its exit code; nothing is thrown. */
export async function runCommand(options: readonly string[], surroundings: Surroundings = process): Promise<ExitCode> {
  let code: ExitCode = exitCodes.done
  const end = (given: ExitCode): void => {
    code = given
  }
  const program = new Command('oncely').description('Idempotency: one effect per key').showHelpAfterError('(--help lists the options)')
  for (const make of [
    gatewayCommand,
    claimsCommand,
    migrateCommand,
    policyCommand,
    inspectCommand,
    resolveCommand,
    eraseCommand,
    holdCommand,
    grantsCommand,
    statsCommand,
    sweepCommand,
    doctorCommand,
    schemaCommand,
    apiKeyCommand,
  ]) {
    program.addCommand(make(surroundings, end))
  }
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
    })
  }
  try {
    await program.parseAsync(options, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    const code = isOncelyError(error) ? ` (${error.code})` : ''
    surroundings.stderr.write(`oncely: ${error instanceof Error ? error.message : String(error)}${code}\n`)
    return exitCodeOf(error)
  }
}
