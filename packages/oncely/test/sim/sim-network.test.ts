import { type LinkFaults, noLinkFaults, SimNetwork, SimProcess, SimWorld } from 'oncely/sim'
import { describe, expect, test } from 'vitest'

class Lost extends Error {
  readonly applied: 'no' | 'unknown'

  constructor(applied: 'no' | 'unknown') {
    super(applied)
    this.applied = applied
  }
}

interface Tally {
  served: number
  answered: number
  readonly lost: Record<'no' | 'unknown', number>
}

/** Sends 200 requests through a network with these faults and counts what came of them. */
async function send(faults: Partial<LinkFaults>, service = { name: 'service', up: true }): Promise<Tally & { world: SimWorld }> {
  const world = new SimWorld('network')
  const network = new SimNetwork(world, service)
  network.faults = { ...noLinkFaults, delayMsMax: 10_000, ...faults }
  const process = new SimProcess(world, 'p')
  const tally: Tally = { served: 0, answered: 0, lost: { no: 0, unknown: 0 } }
  for (let index = 0; index < 200; index++) {
    network.request(process, { label: 'ask', serve: () => ++tally.served, lost: (applied) => new Lost(applied) }).then(
      () => tally.answered++,
      (error: Lost) => tally.lost[error.applied]++,
    )
  }
  await world.run(60_000)
  return { ...tally, world }
}

describe('the simulated network', () => {
  test('without faults serves and answers each request once', async () => {
    expect(await send({})).toMatchObject({ served: 200, answered: 200, lost: { no: 0, unknown: 0 } })
  })

  test('a refused request was not served, and its sender knows', async () => {
    expect(await send({ refused: 1 })).toMatchObject({ served: 0, answered: 0, lost: { no: 200, unknown: 0 } })
  })

  test('a lost request was not served; its sender is left in doubt or hears nothing', async () => {
    const { served, answered, lost } = await send({ requestLost: 1 })
    expect([served, answered, lost.no]).toEqual([0, 0, 0])
    expect(lost.unknown).toBeGreaterThan(50)
    expect(lost.unknown).toBeLessThan(150)
  })

  test('a lost reply was served; its sender is left in doubt or hears nothing', async () => {
    const { served, answered, lost } = await send({ replyLost: 1 })
    expect([served, answered, lost.no]).toEqual([200, 0, 0])
    expect(lost.unknown).toBeGreaterThan(50)
    expect(lost.unknown).toBeLessThan(150)
  })

  test('delayed and slow ones arrive late, and once', async () => {
    expect(await send({ delayed: 0.5, slow: 0.5 })).toMatchObject({ served: 200, answered: 200 })
  })

  test('a service that is down refuses', async () => {
    expect(await send({}, { name: 'service', up: false })).toMatchObject({ served: 0, lost: { no: 200, unknown: 0 } })
  })

  test('a request that was sent arrives although its sender died, and a dead process sends nothing', async () => {
    const world = new SimWorld(1)
    const network = new SimNetwork(world, { name: 'service', up: true })
    const process = new SimProcess(world, 'p')
    let served = 0
    const ask = (): void => void network.request(process, { label: 'ask', serve: () => ++served, lost: (applied) => new Lost(applied) })
    ask()
    process.kill()
    ask()
    await world.run(1_000)
    expect(served).toBe(1)
  })
})
