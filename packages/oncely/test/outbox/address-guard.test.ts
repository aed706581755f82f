import { describe, expect, test } from 'vitest'
import { addressGuard } from '../../src/outbox/address-guard.ts'

const guard = addressGuard([])

describe('the address guard', () => {
  test.each([
    ['0.0.0.0', 'this host'],
    ['10.0.0.1', 'private'],
    ['100.64.0.1', 'carrier-grade NAT'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback, the far end'],
    ['169.254.169.254', 'metadata of clouds'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private, the far end'],
    ['192.168.1.1', 'private'],
    ['198.18.0.1', 'benchmarks'],
    ['224.0.0.1', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback, mapped'],
    ['::ffff:7f00:1', 'loopback, mapped, in hexadecimal'],
    ['0:0:0:0:0:ffff:a00:1', 'private, mapped, at full length'],
    ['::FFFF:169.254.169.254', 'metadata, mapped, in capitals'],
    ['::127.0.0.1', 'IPv4-compatible'],
    ['64:ff9b::7f00:1', 'NAT64'],
    ['2002:7f00:1::', '6to4 around loopback'],
    ['2001::1', 'Teredo'],
    ['2001:db8::1', 'documentation'],
    ['fc00::1', 'unique local'],
    ['fd00:ec2::254', 'metadata over IPv6'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local with its zone'],
    ['ff02::1', 'multicast'],
    ['example.com', 'no address'],
    ['', 'nothing'],
  ])('refuses %s (%s)', (address) => {
    expect(guard.permits(address)).toBe(false)
  })

  test.each(['1.1.1.1', '172.15.255.255', '172.32.0.1', '192.169.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:1.1.1.1', '2003::1'])(
    'permits %s',
    (address) => {
      expect(guard.permits(address)).toBe(true)
    },
  )

  test('permits what is listed, in every spelling, and nothing beside it', () => {
    const own = addressGuard(['10.1.0.0/16', '127.0.0.1', 'fd00::/8'])
    for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '127.0.0.1', '::ffff:7f00:1', 'fd12::1'])
      expect(own.permits(address), address).toBe(true)
    for (const address of ['10.2.0.1', '127.0.0.2', 'fc00::1', '::1']) expect(own.permits(address), address).toBe(false)
  })

  test.each(['10.0.0.0/33', '10.0.0.0/', 'host', '10.0.0.0/8/9', '::1/129', '10.0.0.0/-1'])('refuses the list entry %s', (entry) => {
    expect(() => addressGuard([entry])).toThrow(expect.objectContaining({ code: 'ONCELY_CONFIGURATION' }))
  })
})
