import { createHash, randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { ConfigurationError } from 'oncely'
import { type ExitCode, exitCodes, jsonLine, type Surroundings } from './console.ts'

/** `api-key`: makes a key. It is shown once; what is kept is its hash. */
export function apiKeyCommand({ stdout, stderr }: Surroundings, end: (code: ExitCode) => void): Command {
  return new Command('api-key')
    .description('makes an API key, and the entry of --api-keys that knows it by its hash')
    .argument('<principal>', 'whose key it is')
    .option('--json', 'print JSON')
    .action((principal: string, options: { readonly json?: boolean }) => {
      if (principal === '' || principal.length > 255)
        throw new ConfigurationError(`The principal has ${principal.length} characters; it must have 1 to 255.`)
      const key = `oncely_${randomBytes(32).toString('base64url')}`
      const sha256 = createHash('sha256').update(key).digest('hex')
      if (options.json === true) stdout.write(jsonLine({ key, entry: { principal, sha256 } }))
      else {
        stderr.write('The key, shown this once, for the caller:\n')
        stdout.write(`${key}\n`)
        stderr.write('The entry, for the file of --api-keys:\n')
        stdout.write(`- ${JSON.stringify({ principal, sha256 })}\n`)
      }
      end(exitCodes.done)
    })
}
