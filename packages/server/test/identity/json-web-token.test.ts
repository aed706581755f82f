import { createHmac, createPublicKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KeySetUnavailable, TokenVerifier } from '../../src/identity/json-web-token.ts'
import { audience, issuer, KeyServer } from './key-server.ts'

const verifierOf = (keys: KeyServer, more: object = {}) =>
  new TokenVerifier({ jwks: keys.url, issuer, audience, algorithms: ['ES256', 'RS256'], ...more })
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const now = (): number => Math.floor(Date.now() / 1_000)

describe('a token', () => {
  test('that the issuer signed for this audience is believed', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    expect(await verifierOf(keys).claims(await sign())).toMatchObject({ sub: 'acme' })
    expect(await verifierOf(keys).claims(await sign({ aud: ['other', audience] }))).toMatchObject({ sub: 'acme' })
  })

  test.each([
    ['for another audience', { aud: 'others' }],
    ['without an audience', { aud: undefined }],
    ['of another issuer', { iss: 'https://issuer.example.evil' }],
    ['that ended', { exp: 1_000 }],
    ['that ended beyond the tolerance', { exp: now() - 7 }],
    ['that never ends', { exp: undefined }],
    ['that is not in force yet', { nbf: now() + 60 }],
    ['whose end is no number', { exp: 'tomorrow' as unknown as number }],
  ])('%s is refused', async (_, claims) => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    expect(await verifierOf(keys).claims(await sign(claims))).toBeUndefined()
  })

  test('that ended within the tolerance is believed', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    expect(await verifierOf(keys, { clockToleranceMs: 60_000 }).claims(await sign({ exp: now() - 20 }))).toMatchObject({ sub: 'acme' })
  })

  test('without a signature, or with one of the public key as a shared secret, is refused', async () => {
    const keys = await KeyServer.start()
    await keys.add('one', 'RS256')
    const claims = encode({ iss: issuer, aud: audience, sub: 'root', exp: now() + 300 })
    const verifier = verifierOf(keys)
    for (const alg of ['none', 'None', 'NONE', ''])
      expect(await verifier.claims(`${encode({ alg, kid: 'one' })}.${claims}.`)).toBeUndefined()
    const pem = createPublicKey({ key: keys.keys[0] as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
    const head = `${encode({ alg: 'HS256', kid: 'one' })}.${claims}`
    const forged = createHmac('sha256', pem).update(head).digest('base64url')
    expect(await verifier.claims(`${head}.${forged}`)).toBeUndefined()
  })

  test('of a key that the token itself brings or points to is refused', async () => {
    const keys = await KeyServer.start()
    await keys.add('one')
    const other = await KeyServer.start()
    const sign = await other.add('one')
    const token = await sign({}, { jwk: other.keys[0], jku: other.url })
    expect(await verifierOf(keys).claims(token)).toBeUndefined()
    expect(other.requests).toBe(0)
  })

  test('whose claims were changed, whose algorithm is not among those named, or that is no token is refused', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const signES384 = await keys.add('two', 'ES384')
    const [head, , signature] = (await sign()).split('.')
    const verifier = verifierOf(keys)
    const changed = `${head}.${encode({ iss: issuer, aud: audience, sub: 'root', exp: now() + 300 })}.${signature}`
    for (const token of [changed, await signES384(), '', 'a.b.c', '....', 'x'.repeat(10_000)])
      expect(await verifier.claims(token)).toBeUndefined()
  })

  test('with an extension that must be understood is refused', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const [, claims] = (await sign()).split('.')
    expect(await verifierOf(keys).claims(`${encode({ alg: 'ES256', kid: 'one', crit: ['x'], x: 1 })}.${claims}.AAAA`)).toBeUndefined()
  })
})

describe('the key set', () => {
  test('is read again for a key that is new, and a key that left it counts no more', async () => {
    const keys = await KeyServer.start()
    const old = await keys.add('old')
    const verifier = verifierOf(keys, { keysCooldownMs: 0 })
    const token = await old()
    expect(await verifier.claims(token)).toMatchObject({ sub: 'acme' })
    keys.keys.splice(0)
    const fresh = await keys.add('new')
    expect(await verifier.claims(await fresh())).toMatchObject({ sub: 'acme' })
    expect(await verifier.claims(token)).toBeUndefined()
  })

  test('is not read for every key that somebody makes up', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    const verifier = verifierOf(keys)
    await verifier.claims(await sign())
    for (let nth = 0; nth < 50; nth++) expect(await verifier.claims(await sign({}, { kid: `made-up-${nth}` }))).toBeUndefined()
    expect(keys.requests).toBe(1)
  })

  test('that cannot be read is an outage, and not a refusal', async () => {
    const keys = await KeyServer.start()
    const sign = await keys.add('one')
    keys.up = false
    await expect(verifierOf(keys).claims(await sign())).rejects.toBeInstanceOf(KeySetUnavailable)
  })

  test.each(['http://issuer.example/jwks.json', 'ftp://127.0.0.1/keys', 'nowhere'])('is refused over %s', (jwks) => {
    expect(() => new TokenVerifier({ jwks, issuer, audience })).toThrow(/https/)
  })
})

describe('a verifier', () => {
  test.each([
    ['a shared secret', { algorithms: ['HS256'] }],
    ['no signature', { algorithms: ['none'] }],
    ['no algorithm', { algorithms: [] }],
    ['a tolerance beyond a minute', { clockToleranceMs: 60_001 }],
    ['no audience', { audience: '' }],
    ['no issuer', { issuer: '' }],
    ['no key set', { jwks: { keys: 'x' } as never }],
  ])('with %s is refused', (_, more) => {
    expect(() => new TokenVerifier({ jwks: { keys: [] }, issuer, audience, ...more })).toThrow(/--jw/)
  })
})
