import { type Command, Option } from 'commander'
import { wholeNumber } from './store-option.ts'

/** Adds the options that name credentials and TLS. */
export function addCredentialOptions(command: Command): Command {
  return command
    .option('--jwks <url|file>', "the token issuer's key set: an https URL, or a file")
    .option('--jwt-issuer <iss>', 'who must have issued a token')
    .option('--jwt-audience <aud>', 'for whom a token must have been issued')
    .option('--jwt-algorithms <list>', 'signatures that are believed (default RS256,ES256)')
    .addOption(
      new Option('--jwt-clock-tolerance-ms <ms>', 'how far clocks may be apart (default 5000, at most 60000)').argParser(wholeNumber),
    )
    .option('--api-keys <file>', 'YAML or JSON list of {principal, sha256}; oncely api-key makes an entry')
    .option('--tls-cert <file>', 'PEM certificate chain; with --tls-key the listener speaks TLS')
    .option('--tls-key <file>', 'PEM key of the certificate')
    .option('--tls-client-ca <file>', 'PEM CAs whose clients are let in; then each must show a certificate')
}
