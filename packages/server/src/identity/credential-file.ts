import { readFileSync } from 'node:fs'
import { ConfigurationError } from 'oncely'
import { parse } from 'yaml'
import { z } from 'zod'
import type { ApiKey } from './api-key.ts'
import type { CredentialOptions } from './caller.ts'
import type { JwtOptions } from './json-web-token.ts'
import type { TlsOptions } from './tls.ts'

/** Options that name credentials; the same on the command line and in the configuration file. */
export interface CredentialFlags {
  readonly jwks?: string | undefined
  readonly jwtIssuer?: string | undefined
  readonly jwtAudience?: string | undefined
  readonly jwtAlgorithms?: string | readonly string[] | undefined
  readonly jwtClockToleranceMs?: number | undefined
  readonly apiKeys?: string | undefined
  readonly tlsCert?: string | undefined
  readonly tlsKey?: string | undefined
  readonly tlsClientCa?: string | undefined
}

const apiKeyFile = z.array(z.strictObject({ principal: z.string().min(1).max(255), sha256: z.string().regex(/^[0-9a-fA-F]{64}$/) }))

/** The files that the flags name: what they hold can change while a process runs. */
export function credentialFiles({ jwks, apiKeys, tlsCert, tlsKey, tlsClientCa }: CredentialFlags): string[] {
  const keySet = jwks === undefined || isUrl(jwks) ? undefined : jwks
  return [keySet, apiKeys, tlsCert, tlsKey, tlsClientCa].filter((path) => path !== undefined)
}

/** @throws ConfigurationError that names the file and what is wrong, and shows nothing of it. */
export function readCredentials(flags: CredentialFlags): CredentialOptions & { readonly tls?: TlsOptions } {
  const jwt = jwtOptions(flags)
  const tls = tlsOptions(flags)
  return {
    ...(jwt === undefined ? {} : { jwt }),
    ...(tls === undefined ? {} : { tls }),
    ...(flags.apiKeys === undefined ? {} : { apiKeys: readApiKeys(flags.apiKeys) }),
  }
}

function jwtOptions(flags: CredentialFlags): JwtOptions | undefined {
  const { jwks, jwtIssuer: issuer, jwtAudience: audience, jwtAlgorithms, jwtClockToleranceMs: clockToleranceMs } = flags
  if (jwks === undefined && issuer === undefined && audience === undefined) return undefined
  if (jwks === undefined || issuer === undefined || audience === undefined)
    throw new ConfigurationError('--jwks, --jwt-issuer and --jwt-audience go together: a token is verified against all three.')
  const algorithms = typeof jwtAlgorithms === 'string' ? jwtAlgorithms.split(',').map((name) => name.trim()) : jwtAlgorithms
  return {
    jwks: isUrl(jwks) ? jwks : (parsed('--jwks', jwks) as Exclude<JwtOptions['jwks'], string>),
    issuer,
    audience,
    ...(algorithms === undefined ? {} : { algorithms }),
    ...(clockToleranceMs === undefined ? {} : { clockToleranceMs }),
  }
}

function tlsOptions({ tlsCert, tlsKey, tlsClientCa }: CredentialFlags): TlsOptions | undefined {
  if (tlsCert === undefined && tlsKey === undefined && tlsClientCa === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined)
    throw new ConfigurationError('TLS needs both --tls-cert and --tls-key: PEM files with the chain and its key.')
  return {
    cert: text('--tls-cert', tlsCert),
    key: text('--tls-key', tlsKey),
    ...(tlsClientCa === undefined ? {} : { clientCa: text('--tls-client-ca', tlsClientCa) }),
  }
}

function readApiKeys(path: string): readonly ApiKey[] {
  const read = apiKeyFile.safeParse(parsed('--api-keys', path))
  if (read.success) return read.data
  const places = read.error.issues.map(({ path: place }) => (place.length === 0 ? 'the file' : z.core.toDotPath(place)))
  throw new ConfigurationError(
    `--api-keys ${path} is wrong at ${[...new Set(places)].slice(0, 5).join(', ')}; write a list of {principal, sha256}, as oncely api-key prints it.`,
  )
}

function parsed(option: string, path: string): unknown {
  try {
    return parse(text(option, path), { prettyErrors: false, maxAliasCount: 0, logLevel: 'error' })
  } catch (cause) {
    if (cause instanceof ConfigurationError) throw cause
    throw new ConfigurationError(`${option} ${path} is neither YAML nor JSON.`)
  }
}

function text(option: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigurationError(`${option} ${path} cannot be read (${(cause as { code?: string }).code}); name a file that is there.`, {
      cause,
    })
  }
}

function isUrl(jwks: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(jwks)
}
