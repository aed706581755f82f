import { createLocalJWKSet, createRemoteJWKSet, errors, type JSONWebKeySet, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { ConfigurationError } from 'oncely'

/** How JSON Web Tokens are verified (RFC 7519, RFC 8725). */
export interface JwtOptions {
  /** URL of the issuer's key set (https, or http on this machine), or the key set itself. */
  readonly jwks: string | JSONWebKeySet
  readonly issuer: string
  readonly audience: string
  /** Which signatures are believed, whatever a token says of itself; asymmetric ones only. Default RS256 and ES256. */
  readonly algorithms?: readonly string[]
  /** How far clocks may be apart, at most 60 s. Default 5 s. */
  readonly clockToleranceMs?: number
  /** After reading the key set it is not read again for an unknown `kid` before this time. Default 30 s. */
  readonly keysCooldownMs?: number
}

/** The key set of the issuer cannot be read, so no token can be judged: the caller is not at fault. */
export class KeySetUnavailable extends Error {
  override readonly name: string = 'KeySetUnavailable'
}

/** A shared secret would let whoever can verify also sign, and a public key be taken for a secret. */
const asymmetric: readonly string[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/** Verifies tokens of one issuer for one audience. */
export class TokenVerifier {
  readonly #keys: JWTVerifyGetKey
  readonly #issuer: string
  readonly #audience: string
  readonly #algorithms: string[]
  readonly #clockToleranceS: number

  /** @throws ConfigurationError for what would verify nothing. */
  constructor(options: JwtOptions) {
    const { issuer, audience, algorithms = ['RS256', 'ES256'], clockToleranceMs = 5_000, keysCooldownMs = 30_000 } = options
    if (issuer === '' || audience === '')
      throw new ConfigurationError(
        'A JWT needs --jwt-issuer and --jwt-audience: a token that was made for another service must not count here.',
      )
    const wrong = algorithms.find((name) => !asymmetric.includes(name))
    if (wrong !== undefined || algorithms.length === 0)
      throw new ConfigurationError(`--jwt-algorithms has ${JSON.stringify(wrong ?? '')}; name some of ${asymmetric.join(', ')}.`)
    if (!Number.isInteger(clockToleranceMs) || clockToleranceMs < 0 || clockToleranceMs > 60_000)
      throw new ConfigurationError(`--jwt-clock-tolerance-ms is ${clockToleranceMs}; it must be a whole number from 0 to 60000.`)
    this.#issuer = issuer
    this.#audience = audience
    this.#algorithms = [...algorithms]
    this.#clockToleranceS = clockToleranceMs / 1_000
    this.#keys = keySet(options.jwks, keysCooldownMs)
  }

  /**
   * What a token says, when it is signed by the issuer for this audience and is in force; undefined otherwise.
   *
   * @throws KeySetUnavailable
   */
  async claims(token: string): Promise<JWTPayload | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer: this.#issuer,
        audience: this.#audience,
        algorithms: this.#algorithms,
        clockTolerance: this.#clockToleranceS,
        requiredClaims: ['exp'],
      })
      return payload
    } catch (error) {
      if (error instanceof KeySetUnavailable) throw error
      return undefined
    }
  }
}

function keySet(jwks: JwtOptions['jwks'], cooldownMs: number): JWTVerifyGetKey {
  if (typeof jwks !== 'string') {
    try {
      return createLocalJWKSet(jwks)
    } catch (cause) {
      throw new ConfigurationError('--jwks names a file that is no JSON Web Key Set; it must be {"keys": [ … ]} (RFC 7517 §5).', { cause })
    }
  }
  const url = URL.canParse(jwks) ? new URL(jwks) : undefined
  const local = url !== undefined && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  if (url === undefined || !(url.protocol === 'https:' || (url.protocol === 'http:' && local)))
    throw new ConfigurationError('--jwks must be an https URL (http only on this machine): whoever could change the keys could be anybody.')
  const remote = createRemoteJWKSet(url, { timeoutDuration: 5_000, cooldownDuration: cooldownMs, cacheMaxAge: 600_000 })
  return async (header, token) => {
    try {
      return await remote(header, token)
    } catch (cause) {
      const refused =
        cause instanceof errors.JWKSNoMatchingKey ||
        cause instanceof errors.JWKSMultipleMatchingKeys ||
        cause instanceof errors.JOSENotSupported
      if (refused) throw cause
      throw new KeySetUnavailable(`The key set at ${url.origin} cannot be read.`, { cause })
    }
  }
}
