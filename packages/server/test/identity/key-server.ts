import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import { onTestFinished } from 'vitest'

export const issuer = 'https://issuer.example'
export const audience = 'bookings'

/** A token issuer: its key set over HTTP, and the keys to sign with. */
export class KeyServer {
  readonly keys: JWK[] = []
  url = ''
  requests = 0
  /** Whether the key set can be read. */
  up = true

  static async start(): Promise<KeyServer> {
    const keys = new KeyServer()
    const server = createServer((_, response) => {
      keys.requests++
      if (!keys.up) return void response.writeHead(500).end()
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: keys.keys }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    keys.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
    return keys
  }

  /** Adds a key and answers what signs tokens with it. */
  async add(kid: string, alg = 'ES256'): Promise<(claims?: object, header?: object) => Promise<string>> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    this.keys.push({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' })
    return (claims = {}, header = {}) => {
      const now = Math.floor(Date.now() / 1_000)
      const payload: JWTPayload = { iss: issuer, aud: audience, sub: 'acme', iat: now, exp: now + 300, ...claims }
      return new SignJWT(payload).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
    }
  }
}
