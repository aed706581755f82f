import { type CanonicalJsonRefusal, canonicalJson } from './canonical-json.ts'
import { type CanonicalValueRefusal, canonicalValue } from './canonical-value.ts'
import type { Hasher } from './hasher.ts'
import { type IdentityPart, lengthPrefixed } from './length-prefix.ts'
import { type MultipartPart, type MultipartRefusal, readMultipart } from './multipart.ts'

/**
 * The rules on this page. A stored fingerprint made under other rules is never compared, and its record never executed again;
 * the list of excluded parts belongs to the rules, so a deployment that changes it answers "cannot tell", not "mismatch".
 */
export const FINGERPRINT_VERSION = 1

export type FingerprintBody =
  | { readonly kind: 'none' }
  /** The raw bytes of a JSON body, decoded from any content encoding. */
  | { readonly kind: 'json'; readonly bytes: Uint8Array }
  /** Any other body: every byte counts. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** A `multipart/*` body and the boundary parameter of its content type, which does not count. */
  | { readonly kind: 'multipart'; readonly bytes: Uint8Array; readonly boundary: string }
  /** The input of a function call: the same as the JSON it stands for. */
  | { readonly kind: 'value'; readonly value: unknown }

/** What makes a request this request. An absent component differs from an empty one. */
export interface FingerprintFacts {
  /** The operation's stable name. */
  readonly operation: string
  readonly method?: string
  readonly route?: string
  readonly parameters?: Readonly<Record<string, string>>
  /**
   * The query as text (without or with its `?`) or as pairs. The order of different names does not count, the order of the
   * values of one name does. Text is compared as written: `%41` is not `A`, `a` is not `a=`.
   */
  readonly query?: string | readonly (readonly [name: string, value: string])[]
  /** Only the headers that the operation declares. Neither the case nor the order of names counts; the order within one name does. */
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body: FingerprintBody
}

export interface FingerprintSecret {
  /** Stored beside the digest. 0 stands for "no secret". */
  readonly id: number
  readonly key: Uint8Array
}

export interface FingerprintOptions {
  readonly hasher: Hasher
  /** Newest first. */
  readonly secrets: readonly FingerprintSecret[]
  /**
   * JSON pointers of volatile parts of a JSON or value body, `*` for every element of an array. The list takes part in the
   * version of the fingerprint.
   */
  readonly exclude?: readonly string[]
  /** Containers inside containers in a JSON or value body; default 128. */
  readonly jsonDepthMax?: number
}

export interface FingerprintSet {
  /** The rules it was made under: their version, and in the higher bits a digest of the excluded parts. */
  readonly version: number
  /** Without a secret: for advisory locks and sharing inside one process only, as whoever reads it can test guesses of the body. */
  readonly plain: Uint8Array
  /** One for each secret, newest first; `keyId` 0 and the plain digest where there is no secret. */
  readonly keyed: readonly { readonly keyId: number; readonly digest: Uint8Array }[]
}

/** Why a request has no fingerprint: an expected answer to a client's input. */
export type FingerprintRefusal = CanonicalJsonRefusal | CanonicalValueRefusal | MultipartRefusal

export type Fingerprint =
  | { readonly ok: true; readonly fingerprint: FingerprintSet }
  | {
      readonly ok: false
      readonly reason: FingerprintRefusal
      /** In bytes of a JSON or multipart body. */
      readonly offset?: number
      /** JSON pointer into a value body. */
      readonly path?: string
    }

/**
 * The fingerprint of a request: SHA-256 over the version and the length-prefixed components, then one HMAC-SHA-256 for each
 * secret. A JSON body that is none, a malformed multipart body and a value that JSON cannot carry are answered with a word; the
 * caller decides whether to refuse the request or to take its bytes as they are.
 *
 * @throws ConfigurationError when `exclude` holds something that is not a JSON pointer.
 */
export function fingerprint(facts: FingerprintFacts, options: FingerprintOptions): Fingerprint {
  const { hasher, secrets } = options
  const body = bodyParts(facts.body, options)
  if (!body.ok) return body
  const plain = hasher.sha256(
    lengthPrefixed([
      Uint8Array.of(FINGERPRINT_VERSION),
      facts.operation,
      facts.method,
      facts.route,
      facts.parameters && sortedPairs(Object.entries(facts.parameters)),
      facts.query === undefined ? undefined : sortedPairs(queryPairs(facts.query)),
      facts.headers && sortedPairs(facts.headers.map(([name, value]) => [name.toLowerCase(), value])),
      body.parts,
    ]),
  )
  return { ok: true, fingerprint: new KeyedFingerprint(rulesVersion(options), plain, secrets, hasher) }
}

/** Keyed when a store asks: an answer from this process compares the plain digests. */
class KeyedFingerprint implements FingerprintSet {
  readonly version: number
  readonly plain: Uint8Array
  readonly #secrets: readonly FingerprintSecret[]
  readonly #hasher: Hasher
  #keyed: FingerprintSet['keyed'] | undefined

  constructor(version: number, plain: Uint8Array, secrets: readonly FingerprintSecret[], hasher: Hasher) {
    this.version = version
    this.plain = plain
    this.#secrets = secrets
    this.#hasher = hasher
  }

  get keyed(): FingerprintSet['keyed'] {
    this.#keyed ??=
      this.#secrets.length === 0
        ? [{ keyId: 0, digest: this.plain }]
        : this.#secrets.map(({ id, key }) => ({ keyId: id, digest: this.#hasher.hmacSha256(key, this.plain) }))
    return this.#keyed
  }
}

/** 15 bits of the list's digest above the version: they fit a signed 32-bit column. Two lists that share them are told apart by the digests of their bodies. */
function rulesVersion({ exclude, hasher }: FingerprintOptions): number {
  if (exclude === undefined || exclude.length === 0) return FINGERPRINT_VERSION
  const known = rulesVersions.get(exclude)
  if (known !== undefined) return known
  const digest = hasher.sha256(lengthPrefixed([...new Set(exclude)].sort()))
  const version = FINGERPRINT_VERSION + 256 * (((digest[0] as number) & 0x7f) * 256 + (digest[1] as number))
  rulesVersions.set(exclude, version)
  return version
}

/** An operation's list is one array for its whole life. */
const rulesVersions = new WeakMap<readonly string[], number>()

/** Compares two digests in a time that depends on their length only. */
export function sameFingerprint(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let at = 0; at < a.length; at++) difference |= (a[at] as number) ^ (b[at] as number)
  return difference === 0
}

type BodyParts = { readonly ok: true; readonly parts: readonly IdentityPart[] } | Extract<Fingerprint, { ok: false }>

function bodyParts(body: FingerprintBody, options: FingerprintOptions): BodyParts {
  const { hasher } = options
  switch (body.kind) {
    case 'none':
      return { ok: true, parts: ['none'] }
    case 'bytes':
      return { ok: true, parts: ['bytes', hasher.sha256(body.bytes)] }
    case 'json': {
      const canonical = canonicalJson(body.bytes, options)
      return canonical.ok ? { ok: true, parts: ['json', hasher.sha256(canonical.bytes)] } : canonical
    }
    case 'value': {
      const canonical = canonicalValue(body.value, options)
      return canonical.ok ? { ok: true, parts: ['json', hasher.sha256(canonical.bytes)] } : canonical
    }
    case 'multipart': {
      const multipart = readMultipart(body.bytes, body.boundary)
      if (!multipart.ok) return multipart
      return { ok: true, parts: ['multipart', multipart.parts.map((part) => multipartIdentity(part, hasher))] }
    }
    default:
      return body satisfies never
  }
}

/** What the receiver of a part sees of it: its name and file name, its type, its bytes. */
function multipartIdentity(part: MultipartPart, hasher: Hasher): readonly IdentityPart[] {
  const valuesOf = (wanted: string) => part.headers.filter(([name]) => name === wanted).map(([, value]) => value)
  return [valuesOf('content-disposition'), valuesOf('content-type'), valuesOf('content-transfer-encoding'), hasher.sha256(part.content)]
}

function queryPairs(query: Exclude<FingerprintFacts['query'], undefined>): readonly IdentityPair[] {
  if (typeof query !== 'string') return query
  const text = query.startsWith('?') ? query.slice(1) : query
  return text
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equalsAt = pair.indexOf('=')
      return equalsAt < 0 ? [pair, undefined] : [pair.slice(0, equalsAt), pair.slice(equalsAt + 1)]
    })
}

type IdentityPair = readonly [name: string, value: string | undefined]

/** By name in UTF-16 code units; pairs of one name keep their order, as `sort` is stable. */
function sortedPairs(pairs: readonly IdentityPair[]): readonly IdentityPair[] {
  return pairs.toSorted(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
}
