import { ConfigurationError, type PolicyName, type PolicyOptions } from 'oncely'
import { type GatewayConfig, policyOptionsOf } from '../config/gateway-config.ts'
import type { GatewayOptions } from '../gateway/gateway-options.ts'
import type { GatewayRoute } from '../gateway/gateway-protection.ts'
import { type CredentialFlags, readCredentials } from '../identity/credential-file.ts'

/** The options of the command line, with what the configuration file says in place of their defaults. */
export interface GatewayFlags extends CredentialFlags {
  readonly config?: string
  readonly watch?: boolean
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

/**
 * The gateway that the flags describe, files that they name included.
 *
 * @throws ConfigurationError
 */
export function gatewayOptions(flags: GatewayFlags): Omit<GatewayOptions, 'oncely'> {
  const { operation, heldBytesMax, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs, requestTimeoutMs, key } = flags
  if (key !== 'required' && key !== 'optional')
    throw new ConfigurationError(`--key is ${JSON.stringify(key)}; it must be required or optional.`)
  if (flags.upstream === undefined)
    throw new ConfigurationError('The gateway needs --upstream: the service behind it, such as --upstream http://127.0.0.1:3000.')
  return {
    ...readCredentials(flags),
    upstream: flags.upstream,
    principal: flags.principal as string,
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
export function policyOptions(pairs: readonly string[]): PolicyOptions {
  const entries = pairs.map((pair) => {
    const at = pair.indexOf('=')
    if (at < 1) throw new ConfigurationError(`--policy-option is ${JSON.stringify(pair)}; write name=value, such as lease=1m.`)
    const value = pair.slice(at + 1)
    return [pair.slice(0, at), /^\d+$/.test(value) ? Number(value) : value] as const
  })
  return Object.fromEntries(entries) as PolicyOptions
}
