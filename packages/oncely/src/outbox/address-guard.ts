import { BlockList, isIP, isIPv4 } from 'node:net'
import { ConfigurationError } from '../core/index.ts'

/** Says which addresses a webhook may be sent to. */
export interface AddressGuard {
  /** Whether an address, in any spelling, may be connected to. */
  permits(address: string): boolean
}

/** What is not the public internet (IANA's registries of special-purpose addresses), the metadata services of clouds included. */
const special4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]

/** Of the unicast space only: protocol assignments and Teredo, documentation, 6to4, which carries an IPv4 address. */
const special6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

/**
 * Permits public addresses, and of the others only what is listed. An IPv4 address inside IPv6 is judged as the IPv4 address it is.
 *
 * @param allowed addresses or networks, such as `10.1.2.3`, `10.1.0.0/16` or `fd00::/8`.
 * @throws ConfigurationError for text that is neither.
 */
export function addressGuard(allowed: readonly string[]): AddressGuard {
  const own = listOf(allowed)
  return {
    permits: (address) => {
      // With a zone it is an address of a link.
      if (address.includes('%')) return false
      const plain = mapped(address) ?? address
      switch (isIP(plain)) {
        case 4:
          return own.check(plain, 'ipv4') || !privateIpv4.check(plain, 'ipv4')
        case 6:
          return own.check(plain, 'ipv6') || (unicastIpv6.check(plain, 'ipv6') && !privateIpv6.check(plain, 'ipv6'))
        default:
          return false
      }
    },
  }
}

const privateIpv4 = listOf(special4)
const privateIpv6 = listOf(special6)
const unicastIpv6 = listOf(['2000::/3'])

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits, ...rest] = network.split('/')
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    const prefix = bits === undefined ? width : Number(bits)
    if (family === 0 || rest.length > 0 || !Number.isInteger(prefix) || prefix < 0 || prefix > width || bits === '')
      throw new ConfigurationError(
        `allowAddresses has ${JSON.stringify(network)}; write an address or a network, such as '10.1.2.3', '10.1.0.0/16' or 'fd00::/8'.`,
      )
    list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

/** The IPv4 address in `::ffff:a.b.c.d`, however it is written. */
function mapped(address: string): string | undefined {
  if (isIP(address) !== 6) return undefined
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  const text = dotted === null ? address : `${dotted[1]}${hexPair(dotted[2] as string)}`
  const [head = '', tail] = text.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0')
  const groups = [...left, ...zeros, ...right].map((group) => Number.parseInt(group, 16))
  const [a = 0, b = 0] = groups.slice(6)
  if (groups.slice(0, 5).some((group) => group !== 0) || groups[5] !== 0xffff) return undefined
  return [a >> 8, a & 255, b >> 8, b & 255].join('.')
}

function hexPair(ipv4: string): string {
  if (!isIPv4(ipv4)) return '0:0'
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number)
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}
