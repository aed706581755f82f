import { readFileSync } from 'node:fs'
import { ConfigurationError, type PolicyName, type PolicyOptions } from 'oncely'
import { parse } from 'yaml'
import { z } from 'zod'
import type { CredentialFlags } from '../identity/credential-file.ts'

interface Protection {
  readonly operation?: string | undefined
  readonly policy?: PolicyName | undefined
  readonly policyOptions?: Readonly<Record<string, string | number | undefined>> | undefined
  readonly methods?: readonly string[] | undefined
  readonly key?: 'required' | 'optional' | undefined
  readonly notApplied?: readonly number[] | undefined
}

/** What a configuration file of the gateway says; the names are those of the command's options. */
export interface GatewayConfig extends Protection, CredentialFlags {
  readonly $schema?: string | undefined
  readonly upstream?: string | undefined
  readonly principal?: string | undefined
  readonly actor?: string | undefined
  readonly store?: string | undefined
  readonly migrate?: boolean | undefined
  readonly namespace?: string | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly routes?: readonly (Protection & { readonly path: string; readonly operation: string })[] | undefined
  readonly bodyBytesMax?: number | undefined
  readonly responseBytesMax?: number | undefined
  readonly heldBytesMax?: number | undefined
  readonly connectTimeoutMs?: number | undefined
  readonly headersTimeoutMs?: number | undefined
  readonly bodyTimeoutMs?: number | undefined
  readonly requestTimeoutMs?: number | undefined
  readonly drainMs?: number | undefined
}

const duration = z
  .union([z.int().min(0), z.string().regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/)])
  .describe('milliseconds, or a number with its unit: 30s, 24h')

const policyOptions = z
  .strictObject({
    retention: duration.optional(),
    tombstone: duration.optional(),
    lease: duration.optional(),
    attemptsMax: z.int().min(1).max(30_000).optional(),
    effectTimeout: duration.optional(),
    onLostLease: z.enum(['uncertain', 'takeover']).optional(),
    onStoreDown: z.enum(['closed', 'open']).optional(),
    onUnrecorded: z.enum(['withhold', 'answer']).optional(),
    onConcurrent: z.enum(['reject', 'wait']).optional(),
    wait: duration.optional(),
    replayTo: z.enum(['actor', 'principal']).optional(),
    survives: z.enum(['nothing', 'restart', 'power', 'failover']).optional(),
    retryHorizon: duration.optional(),
    backoffCeiling: duration.optional(),
    partitionRecovery: duration.optional(),
    brokerRedelivery: duration.optional(),
  })
  .describe('values of the policy that differ from its preset')

const protection = {
  operation: z.string().min(1).max(128).optional().describe('the name of the operation, part of every fingerprint'),
  policy: z.enum(['financial', 'standard', 'telemetry']).optional(),
  policyOptions: policyOptions.optional(),
  methods: z
    .array(z.string().regex(/^[A-Za-z]+$/))
    .min(1)
    .optional()
    .describe('methods whose keys count'),
  key: z.enum(['required', 'optional']).optional().describe('whether such a request may come without a key'),
  notApplied: z.array(z.int().min(200).max(599)).optional().describe('statuses with which the service says that nothing happened'),
}

/** Options that name credentials, as a configuration file has them. */
const credentials = {
  jwks: z.string().min(1).optional().describe("the token issuer's key set: an https URL or a file"),
  jwtIssuer: z.string().min(1).optional().describe('iss of every token'),
  jwtAudience: z.string().min(1).optional().describe('aud that every token must have'),
  jwtAlgorithms: z.array(z.string()).min(1).optional().describe('signatures that are believed; default RS256 and ES256'),
  jwtClockToleranceMs: z.int().min(0).max(60_000).optional(),
  apiKeys: z.string().min(1).optional().describe('a file with the list of {principal, sha256}'),
  tlsCert: z.string().min(1).optional().describe('PEM file of the certificate chain; with tlsKey the listener speaks TLS'),
  tlsKey: z.string().min(1).optional(),
  tlsClientCa: z.string().min(1).optional().describe('PEM file of the CAs whose clients are let in; then each must show a certificate'),
}

const milliseconds = z.int().min(1).max(3_600_000)

const gatewayConfig: z.ZodType<GatewayConfig> = z.strictObject({
  $schema: z.string().optional(),
  upstream: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('the service behind the gateway'),
  principal: z
    .string()
    .regex(/^(anonymous|mtls|jwt(:.+)?|api-key(:[!#$%&'*+.^_`|~0-9A-Za-z-]+)?|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$/)
    .optional()
    .describe('who a key belongs to: header:NAME, jwt, jwt:CLAIM, api-key, api-key:HEADER, mtls or anonymous'),
  actor: z
    .string()
    .regex(/^(jwt:.+|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$/)
    .optional()
    .describe('who acts for the principal: header:NAME, or jwt:CLAIM of the same token'),
  ...credentials,
  store: z.string().min(1).optional().describe('sqlite:FILE or postgres://USER@HOST:PORT/DATABASE'),
  migrate: z.boolean().optional().describe('bring the schema of a PostgreSQL store up to date at the start'),
  namespace: z.string().min(1).max(128).optional(),
  host: z.string().min(1).optional(),
  port: z.int().min(0).max(65_535).optional(),
  ...protection,
  routes: z
    .array(
      z
        .strictObject({
          path: z
            .string()
            .regex(/^\/[^?#]*$/)
            .describe('/payments, /accounts/:id/payments, or /payments/* for all below it'),
          ...protection,
          operation: z.string().min(1).max(128),
        })
        .describe('what is not said here is as above'),
    )
    .max(1_000)
    .optional()
    .describe('the first one that matches counts; the rest is protected as said above'),
  bodyBytesMax: z.int().min(0).optional(),
  responseBytesMax: z.int().min(0).optional(),
  heldBytesMax: z.int().min(0).optional().describe('most bytes of bodies with a key that are held at once'),
  connectTimeoutMs: milliseconds.optional(),
  headersTimeoutMs: milliseconds.optional(),
  bodyTimeoutMs: milliseconds.optional(),
  requestTimeoutMs: milliseconds.optional(),
  drainMs: z.int().min(0).max(3_600_000).optional(),
})

/** The schema of the file, as it is published in `gateway.schema.json`. */
export function gatewayConfigSchema(): object {
  const id = 'https://oncely.dev/schemas/gateway.schema.json'
  return { $id: id, title: 'oncely gateway', ...z.toJSONSchema(gatewayConfig) }
}

/**
 * Reads a configuration file, YAML or JSON.
 *
 * @throws ConfigurationError that names the file and each place that is wrong; never a value, as it can be a password.
 */
export function readGatewayConfig(path: string): GatewayConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigurationError(`--config ${path} cannot be read (${(cause as { code?: string }).code}); name a file that is there.`, {
      cause,
    })
  }
  let value: unknown
  try {
    value = parse(text, { prettyErrors: false, maxAliasCount: 0 })
  } catch (cause) {
    throw new ConfigurationError(`${path} is neither YAML nor JSON: ${(cause as Error).message}`, { cause })
  }
  const read = gatewayConfig.safeParse(value ?? {})
  if (read.success) return read.data
  const lines = read.error.issues.map(
    ({ path: place, message }) => `\n  ${place.length === 0 ? 'the file' : z.core.toDotPath(place)}: ${message}`,
  )
  throw new ConfigurationError(`${path} does not fit gateway.schema.json:${lines.join('')}`)
}

/** The options of a policy as the library takes them. */
export function policyOptionsOf(options: GatewayConfig['policyOptions']): PolicyOptions {
  return (options ?? {}) as PolicyOptions
}
