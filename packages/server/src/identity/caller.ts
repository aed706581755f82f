import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { anonymous, ConfigurationError } from 'oncely'
import { headerValues } from 'oncely/http'
import { type ApiKey, ApiKeys } from './api-key.ts'
import { type JwtOptions, TokenVerifier } from './json-web-token.ts'

/** Who calls, and who acts for it where that is asked for. */
export interface Caller {
  readonly principal: string | typeof anonymous
  readonly actor?: string | undefined
}

/** What a request's caller is verified by. */
export interface CredentialOptions {
  readonly jwt?: JwtOptions
  readonly apiKeys?: readonly ApiKey[]
}

export interface CallerOptions extends CredentialOptions {
  readonly principal?: string | undefined
  readonly actor?: string | undefined
  /** Clients must show a certificate of a CA that is trusted. */
  readonly clientCertificates?: boolean
}

/** The forms that `--principal` takes, for messages. */
const principalForms: string = [
  '  header:NAME            a header that a trusted hop in front of the gateway sets, such as header:x-account-id',
  '  header:authorization   the credential itself, where it stays the same over retries (Basic)',
  '  jwt, jwt:CLAIM         a claim (sub) of the token in Authorization: Bearer; needs --jwks, --jwt-issuer and --jwt-audience',
  '  api-key, api-key:NAME  whose key stands in Authorization: Bearer, or in the header NAME; needs --api-keys',
  "  mtls                   the subject of the client's certificate; needs --tls-client-ca",
  '  anonymous              every caller shares keys: only where there is one caller, or keys are unguessable',
].join('\n')

type Claims = Readonly<Record<string, unknown>>
/** Who calls, with what its token says; undefined where the request does not prove it. */
type Verified = { readonly principal: Caller['principal']; readonly claims?: Claims } | undefined
type Verifier = (request: IncomingMessage) => Verified | Promise<Verified>

/**
 * Tells the caller of each request, as the forms say.
 *
 * @throws ConfigurationError for a form that is missing, unknown, or without what it needs; it names the forms.
 */
export class CallerSource {
  /** Fields that say who calls: a client must not have them removed. */
  readonly headers: readonly string[]
  readonly #verify: Verifier
  readonly #actor: ((request: IncomingMessage, claims: Claims) => string | undefined) | undefined

  constructor(options: CallerOptions) {
    const { principal, actor } = options
    if (principal === undefined) {
      throw new ConfigurationError(
        `The gateway needs --principal: who a key belongs to is never guessed, or one caller would read the answers of another. The forms are:\n${principalForms}`,
      )
    }
    this.#verify = verifier(principal, options)
    this.#actor = actor === undefined ? undefined : actorSource(actor, principal)
    this.headers = [principal, actor].flatMap((form) => /^(?:header|api-key):(.+)$/.exec(form ?? '')?.[1]?.toLowerCase() ?? [])
  }

  /**
   * The caller; none where an actor is asked for and not told, or one actor would read the answers of another.
   *
   * @throws KeySetUnavailable
   */
  callerOf(request: IncomingMessage): Caller | undefined | Promise<Caller | undefined> {
    const verified = this.#verify(request)
    return verified instanceof Promise ? verified.then((found) => this.#withActor(request, found)) : this.#withActor(request, verified)
  }

  #withActor(request: IncomingMessage, verified: Verified): Caller | undefined {
    if (verified === undefined) return undefined
    const { principal, claims = {} } = verified
    if (this.#actor === undefined) return { principal }
    const actor = this.#actor(request, claims)
    return actor === undefined ? undefined : { principal, actor }
  }
}

function verifier(form: string, options: CallerOptions): Verifier {
  if (form === 'anonymous') return () => ({ principal: anonymous })
  const [kind = '', name] = splitForm(form)
  if (kind === 'header' && name !== undefined && isToken(name)) return headerVerifier(name.toLowerCase())
  if (kind === 'jwt' && name !== '') return jwtVerifier(name ?? 'sub', options)
  if (kind === 'api-key' && (name === undefined || isToken(name))) return apiKeyVerifier(name?.toLowerCase(), options)
  if (form === 'mtls') {
    if (options.clientCertificates !== true)
      throw new ConfigurationError(
        '--principal mtls needs --tls-cert, --tls-key and --tls-client-ca: without them nobody shows a certificate.',
      )
    return certificateVerifier
  }
  throw new ConfigurationError(`--principal ${JSON.stringify(form)} is unknown. The forms are:\n${principalForms}`)
}

function splitForm(form: string): readonly [kind: string, name: string | undefined] {
  const at = form.indexOf(':')
  return at < 0 ? [form, undefined] : [form.slice(0, at), form.slice(at + 1)]
}

function isToken(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
}

/** The one value of a field. Two lines are two callers: none of them is the one that was verified. */
function only(request: IncomingMessage, name: string): string | undefined {
  const values = headerValues(request.rawHeaders, name)
  return values.length === 1 && values[0] !== '' ? values[0] : undefined
}

/** The credential of `Authorization: Bearer` (RFC 6750 §2.1). */
function bearerOf(request: IncomingMessage): string | undefined {
  return /^bearer +([^\s,]+) *$/i.exec(only(request, 'authorization') ?? '')?.[1]
}

function headerVerifier(name: string): Verifier {
  return (request) => {
    const principal = only(request, name)
    return principal === undefined ? undefined : { principal }
  }
}

function jwtVerifier(claim: string, { jwt }: CallerOptions): Verifier {
  if (jwt === undefined) throw new ConfigurationError('--principal jwt needs --jwks, --jwt-issuer and --jwt-audience.')
  const verifier = new TokenVerifier(jwt)
  return async (request) => {
    const token = bearerOf(request)
    const claims = token === undefined ? undefined : await verifier.claims(token)
    const principal = claims === undefined || !Object.hasOwn(claims, claim) ? undefined : claims[claim]
    return typeof principal === 'string' && principal !== '' ? { principal, claims: claims as Claims } : undefined
  }
}

function apiKeyVerifier(name: string | undefined, { apiKeys }: CallerOptions): Verifier {
  if (apiKeys === undefined) throw new ConfigurationError('--principal api-key needs --api-keys: the file with the hashes of the keys.')
  const keys = new ApiKeys(apiKeys)
  return (request) => {
    const key = name === undefined ? bearerOf(request) : only(request, name)
    const principal = key === undefined ? undefined : keys.principalOf(key)
    return principal === undefined ? undefined : { principal }
  }
}

/** The subject stays when a certificate is renewed. OpenSSL escapes what could end a part of it (RFC 2253). */
function certificateVerifier({ socket }: IncomingMessage): Verified {
  const tls = socket as TLSSocket
  if (tls.encrypted !== true || !tls.authorized) return undefined
  const subject = tls.getPeerX509Certificate()?.subject
  return subject === undefined || subject === '' ? undefined : { principal: subject.replaceAll('\n', ', ') }
}

function actorSource(form: string, principal: string): (request: IncomingMessage, claims: Claims) => string | undefined {
  const [kind, name = ''] = splitForm(form)
  if (kind === 'header' && isToken(name)) return (request) => only(request, name.toLowerCase())
  if (kind === 'jwt' && name !== '' && /^jwt(:|$)/.test(principal)) {
    return (_, claims) => {
      const actor = Object.hasOwn(claims, name) ? claims[name] : undefined
      return typeof actor === 'string' && actor !== '' ? actor : undefined
    }
  }
  throw new ConfigurationError(
    `--actor is ${JSON.stringify(form)}; write header:NAME, a header that a trusted hop in front sets, or with --principal jwt also jwt:CLAIM.`,
  )
}
