import { createSecureContext } from 'node:tls'
import { ConfigurationError } from 'oncely'

/** TLS at the listener: certificate chain and key as PEM, and the CAs whose clients are let in. */
export interface TlsOptions {
  readonly cert: string
  readonly key: string
  /** With it every client must show a certificate of one of these CAs. */
  readonly clientCa?: string
}

/** What Node's server takes. */
export interface TlsServerOptions {
  readonly cert: string
  readonly key: string
  readonly ca?: string
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  readonly minVersion: 'TLSv1.2'
}

/**
 * The options of a server, checked: Node would tell of a key that does not fit only where it listens.
 *
 * @throws ConfigurationError
 */
export function tlsServerOptions({ cert, key, clientCa }: TlsOptions): TlsServerOptions {
  const files = { cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) }
  try {
    createSecureContext(files)
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? 'unknown'
    throw new ConfigurationError(`--tls-cert, --tls-key and --tls-client-ca do not go together (${code}); give PEM files that fit.`, {
      cause,
    })
  }
  return { ...files, requestCert: clientCa !== undefined, rejectUnauthorized: clientCa !== undefined, minVersion: 'TLSv1.2' }
}
