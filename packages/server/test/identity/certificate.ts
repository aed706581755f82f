import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** A certificate and its key as PEM, made here: no tool of the machine is needed. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
  readonly name: Buffer
  readonly privateKey: KeyObject
}

/** Issues an X.509 certificate (RFC 5280) for an organisation and a name; of its own where no issuer is given. */
export function certificate(organisation: string, commonName: string, issuer?: TestCertificate): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = sequence(attribute('55040a', organisation), attribute('550403', commonName))
  const algorithm = sequence(identifier('2a8648ce3d040302'))
  const time = (ms: number): Buffer => der(0x18, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '')}`))
  const extensions = [
    ...(issuer === undefined ? [extension('551d13', sequence(der(0x01, Buffer.from([0xff]))))] : []),
    extension('551d11', sequence(der(0x87, Buffer.from([127, 0, 0, 1])))),
  ]
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1 + (serial++ % 100)])),
    algorithm,
    issuer?.name ?? name,
    sequence(time(Date.now() - 86_400_000), time(Date.now() + 86_400_000)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, issuer?.privateKey ?? privateKey)
  const whole = sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = whole.toString('base64').match(/.{1,64}/g) as string[]
  const cert = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, name, privateKey }
}

let serial = 0

function der(tag: number, content: Buffer): Buffer {
  const { length } = content
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...head]), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function identifier(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

function attribute(type: string, value: string): Buffer {
  return der(0x31, sequence(identifier(type), der(0x0c, Buffer.from(value))))
}

function extension(type: string, value: Buffer): Buffer {
  return sequence(identifier(type), der(0x04, value))
}
