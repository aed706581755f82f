import type nodeTest from 'node:test'
import { memoryStore } from 'oncely/store/memory'
import { ManualClock, type StoreHarness, storeSuite, type TestRunner } from 'oncely/testing'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { Store, StoreCapabilities } from '../../src/core/index.ts'

const caseName = 'claim: a free key goes to its first caller'

/** A memory store's harness that remembers how it was closed. */
function memoryHarness(change: { readonly capabilities?: Partial<StoreCapabilities>; readonly broken?: Partial<Store> } = {}) {
  const closed: string[] = []
  const open = async (): Promise<StoreHarness> => {
    const clock = new ManualClock()
    const inner = memoryStore({ clock })
    const capabilities = { ...inner.capabilities, ...change.capabilities }
    const own: Partial<Store> = { capabilities, ...change.broken }
    const store = new Proxy(inner, {
      get: (target, name) => {
        const value = name in own ? own[name as keyof Store] : target[name as keyof Store]
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    return {
      store,
      reopen: async () => store,
      nowMs: () => clock.nowMs(),
      advance: (ms) => clock.advance(ms),
      close: async (ended) => {
        closed.push(ended)
      },
    }
  }
  return { open, closed }
}

/** The cases that the suite declares, by name. */
async function declared(options: Omit<Parameters<typeof storeSuite>[0], 'test'>): Promise<Map<string, () => Promise<void>>> {
  const cases = new Map<string, () => Promise<void>>()
  await storeSuite({ ...options, test: (name, run) => cases.set(name, run) })
  return cases
}

describe('the runner', () => {
  test("may be vitest's or node's own", () => {
    expectTypeOf<typeof test>().toExtend<TestRunner>()
    expectTypeOf<typeof nodeTest>().toExtend<TestRunner>()
    expectTypeOf<typeof nodeTest.test>().toExtend<TestRunner>()
  })

  test('gets cases that read as sentences under the name of an area', async () => {
    const names = [...(await declared(memoryHarness())).keys()]
    expect(names.length).toBeGreaterThan(100)
    for (const name of names) expect(name).toMatch(/^[a-z]+: ./)
  })
})

describe('a skip', () => {
  const { open } = memoryHarness()

  test('leaves out the case that it names, and no other', async () => {
    const all = await declared({ open })
    const some = await declared({ open, skip: { [caseName]: 'this store has no first caller' } })
    expect([...all.keys()].filter((name) => !some.has(name))).toEqual([caseName])
  })

  test('of a case that does not exist is refused', async () => {
    await expect(declared({ open, skip: { 'claim: no such case': 'reason' } })).rejects.toThrow('skip names "claim: no such case"')
  })

  test('of a case that does not apply to this store is refused', async () => {
    await expect(declared({ open, skip: { 'fence: tokens grow over connections': 'one process' } })).rejects.toThrow(
      'no case of this suite here',
    )
  })

  test('without a reason is refused', async () => {
    await expect(declared({ open, skip: { [caseName]: ' ' } })).rejects.toThrow('gives no reason')
  })
})

describe('the capabilities of a store', () => {
  test.each([
    ['a clock of the process', { clock: 'process' }, 'claim: in progress lasts to the last millisecond of the lease and not longer'],
    ['shared records', { shared: true }, 'fence: tokens grow over connections'],
    ['no transactions', { transactional: false }, 'transaction: a store without it has no method for it'],
  ] as const)('with %s choose its cases', async (_, capabilities, name) => {
    expect((await declared(memoryHarness({ capabilities }))).has(name)).toBe(true)
  })

  test.each([
    ['a clock of the server', { clock: 'server' }, 'claim: in progress lasts to the last millisecond of the lease and not longer'],
    ['records of one process', { shared: false }, 'fence: tokens grow over connections'],
  ] as const)('with %s leave out what it cannot', async (_, capabilities, name) => {
    expect((await declared(memoryHarness({ capabilities }))).has(name)).toBe(false)
  })

  test('are not believed without the means to check them', async () => {
    await expect(declared(memoryHarness({ capabilities: { transactional: true } }))).rejects.toThrow('its harness needs "transactional"')
  })
})

describe('each case', () => {
  test('closes its harness, and says how it ended', async () => {
    const { open, closed } = memoryHarness()
    const cases = await declared({ open })
    await cases.get(caseName)?.()
    expect(closed).toEqual(['passed', 'passed'])
  })

  test('fails on a store that breaks its sentence, and keeps what it left behind', async () => {
    const { open, closed } = memoryHarness({ broken: { complete: async () => 'done' } })
    const cases = await declared({ open })
    await expect(cases.get('replay: completing again with other bytes is a conflict, and the first stand')?.()).rejects.toThrow()
    expect(closed).toEqual(['passed', 'failed'])
  })
})
