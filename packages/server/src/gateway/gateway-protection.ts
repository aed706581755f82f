import type { Oncely, OperationOptions } from 'oncely'
import { type HttpOptions, type HttpOutcome, HttpRoute } from 'oncely/http'

type OperationChoices = Pick<OperationOptions<unknown, unknown, 'lease'>, 'exclude' | 'keyspace' | 'store'>

/** How requests are protected. */
export interface GatewayProtection extends Omit<HttpOptions, 'methods' | 'problemBase'>, OperationChoices {
  /** The operation's name, part of every fingerprint. Default `gateway`. */
  readonly operation?: string
  readonly policy?: NonNullable<OperationOptions<unknown, unknown, 'lease'>['policy']>
  /** Methods whose keys count. Default POST and PATCH. */
  readonly methods?: readonly string[]
  /** Whether a request of such a method may come without a key. Default `optional`. */
  readonly key?: 'required' | 'optional'
  /** Statuses with which the service says that nothing happened: their key is free again. */
  readonly notApplied?: readonly number[]
}

/** The protection of some paths; what it does not say is as for all others. */
export interface GatewayRoute extends GatewayProtection {
  /** `/payments`, `/accounts/:id/payments`, or `/payments/*` for all below it. */
  readonly path: string
  readonly operation: string
}

/** The route of the library that protects so. */
export function protectedRoute(oncely: Oncely<never>, problemBase: string | undefined, protection: GatewayProtection): HttpRoute<never> {
  const { operation: name = 'gateway', policy = 'standard', key, notApplied = [], methods = ['POST', 'PATCH'], outcomes } = protection
  const { exclude, keyspace, store, keySyntax, fingerprintHeaders, replayHeaders, resolution } = protection
  const operation = oncely.operation(name, {
    bind: 'lease',
    begin: 'explicit',
    phase: key === 'required' ? 'enforce' : 'optional',
    policy,
    ...(exclude === undefined ? {} : { exclude }),
    ...(keyspace === undefined ? {} : { keyspace }),
    ...(store === undefined ? {} : { store }),
  })
  return new HttpRoute<never>(operation, {
    methods,
    outcomes: { ...outcomes, ...Object.fromEntries(notApplied.map((status) => [status, 'not-applied' satisfies HttpOutcome])) },
    ...(keySyntax === undefined ? {} : { keySyntax }),
    ...(fingerprintHeaders === undefined ? {} : { fingerprintHeaders }),
    ...(replayHeaders === undefined ? {} : { replayHeaders }),
    ...(resolution === undefined ? {} : { resolution }),
    ...(problemBase === undefined ? {} : { problemBase }),
  })
}
