import { SimProcess, SimWorld } from 'oncely/sim'
import { describe, expect, test } from 'vitest'

describe('a simulated process', () => {
  test('waits for promises of any depth before time moves', async () => {
    const world = new SimWorld(1)
    const seen: number[] = []
    const deep = async (depth: number): Promise<void> => (depth === 0 ? undefined : deep(depth - 1))
    world.time.schedule(10, () => void deep(200).then(() => seen.push(world.time.nowMs)))
    world.time.schedule(11, () => seen.push(world.time.nowMs))
    await world.run(20)
    expect(seen).toEqual([10, 11])
    expect(world.time.nowMs).toBe(20)
  })

  test('has a wall clock of its own and a monotonic one, which both go on', async () => {
    const world = new SimWorld(1)
    const [fast, slow] = [new SimProcess(world, 'fast', { skewMs: 60_000 }), new SimProcess(world, 'slow', { skewMs: -60_000 })]
    expect(fast.clock.nowMs() - slow.clock.nowMs()).toBe(120_000)
    const before = [fast.clock.nowMs(), fast.clock.monotonicMs()] as const
    await world.run(1_000)
    expect(fast.clock.nowMs() - before[0]).toBe(1_000)
    expect(fast.clock.monotonicMs() - before[1]).toBe(1_000)
  })

  test('stands still while it is paused: timers and messages come late, and its clock has gone on', async () => {
    const world = new SimWorld(1)
    const process = new SimProcess(world, 'p')
    const ran: { what: string; atMs: number }[] = []
    process.clock.after(100, () => ran.push({ what: 'timer', atMs: world.time.nowMs }))
    process.deliver(200, () => ran.push({ what: 'message', atMs: world.time.nowMs }), 'message')
    process.stall(5_000)
    await world.run(4_999)
    expect(ran).toEqual([])
    await world.run(5_010)
    expect(ran.map(({ what }) => what).sort()).toEqual(['message', 'timer'])
    for (const { atMs } of ran) expect(atMs).toBeGreaterThanOrEqual(5_000)
    expect(process.stalledMs).toBe(5_000)
  })

  test('a blocked event loop lives ahead of the world: what it does next happens after the block', () => {
    const world = new SimWorld(1)
    const process = new SimProcess(world, 'p')
    const before = process.clock.monotonicMs()
    process.stall(700)
    expect(process.clock.monotonicMs() - before).toBe(700)
    expect(world.time.nowMs).toBe(0)
  })

  test('a dead one runs nothing more, and tells who listens', async () => {
    const world = new SimWorld(1)
    const process = new SimProcess(world, 'p', { stallable: true })
    const ran: string[] = []
    process.clock.after(10, () => ran.push('timer'))
    process.onDeath(() => ran.push('death'))
    world.time.schedule(5, () => process.kill())
    await world.run(100)
    process.kill()
    expect(ran).toEqual(['death'])
    expect(process.alive).toBe(false)
    expect(process.checkpoint()).toBe(false)
  })

  test('may die or be blocked at any of its calls, and each is counted', () => {
    const world = new SimWorld(1)
    world.stalls = { kill: 0.1, block: 0.3, blockMsMax: 50, pause: 0.3, pauseMsMax: 50 }
    let [deaths, calls] = [0, 0]
    for (let index = 0; index < 50; index++) {
      const process = new SimProcess(world, `p${index}`, { stallable: true })
      while (calls++ < 1_000 && process.checkpoint()) process.pauseInCall()
      if (!process.alive) deaths++
    }
    expect(deaths).toBeGreaterThan(0)
    expect(world.faults.get('process killed at a call')).toBe(deaths)
    expect(world.faults.get('event loop blocked')).toBeGreaterThan(0)
    expect(world.faults.get('process paused in a call')).toBeGreaterThan(0)
  })
})
