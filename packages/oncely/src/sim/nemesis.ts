import { clockOffsetsMs, type NemesisPlan } from './scenario.ts'
import type { SimDatabase } from './sim-database.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimServer } from './sim-server.ts'
import type { SimWorld } from './world.ts'

/** Does to processes and the database, at random moments, what happens to them anyway. */
export class Nemesis {
  readonly #world: SimWorld
  readonly #servers: readonly SimServer[]
  readonly #database: SimDatabase
  readonly #random: SimRandom
  #on = true

  constructor(world: SimWorld, servers: readonly SimServer[], database: SimDatabase) {
    this.#world = world
    this.#servers = servers
    this.#database = database
    this.#random = world.random.fork('nemesis')
  }

  start(plan: NemesisPlan): void {
    this.#every(plan.killEveryMs, 'process killed', (server) => server.process.kill())
    this.#every(plan.pauseEveryMs, 'process paused', (server) => server.process.stall(this.#random.between(500, 40_000)))
    this.#every(plan.drainEveryMs, 'process drained', (server) => {
      if (server.process.alive) server.process.deliver(this.#world.time.nowMs, () => void server.drain())
    })
    this.#every(plan.partitionEveryMs, 'database unreachable for one process', (server) => {
      server.linkDown()
      this.#later(500, 15_000, () => server.linkUp())
    })
    this.#every(plan.databaseCrashEveryMs, 'database crashed', () => {
      this.#database.crash()
      this.#later(100, 5_000, () => {
        this.#database.up = true
      })
    })
    this.#every(plan.databaseOutageEveryMs, 'database refuses connections', () => {
      this.#database.up = false
      this.#later(100, 8_000, () => {
        this.#database.up = true
      })
    })
    this.#every(plan.databaseClockEveryMs, 'database clock set', () => {
      this.#database.clockOffsetMs = this.#random.between(clockOffsetsMs.min, clockOffsetsMs.max)
    })
    this.#revive()
  }

  /** Ends every fault: the database answers, processes that are dead start again. A paused one wakes up in its own time. */
  stop(): void {
    this.#on = false
    this.#database.up = true
    for (const server of this.#servers) server.heal()
  }

  #every(everyMs: number, kind: string, act: (server: SimServer) => void): void {
    if (everyMs === 0) return
    this.#later(0.3 * everyMs, 1.7 * everyMs, () => {
      if (!this.#on) return
      this.#world.count(kind)
      act(this.#random.pick(this.#servers))
      this.#every(everyMs, kind, act)
    })
  }

  /** Whoever died starts again some time later. */
  #revive(): void {
    this.#later(100, 6_000, () => {
      if (!this.#on) return
      for (const server of this.#servers) if (!server.process.alive && this.#random.chance(0.5)) server.boot()
      this.#revive()
    })
  }

  #later(minMs: number, maxMs: number, run: () => void): void {
    this.#world.time.schedule(this.#world.time.nowMs + this.#random.between(minMs, maxMs), run)
  }
}
