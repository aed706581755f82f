import type { SimRandom } from './sim-random.ts'
import type { SimProcess, SimWorld } from './world.ts'

/** The chances of what can go wrong with one request, and how long things take. */
export interface LinkFaults {
  /** The connection is refused: nothing arrived, and the caller knows it. */
  readonly refused: number
  /** The request never arrives. */
  readonly requestLost: number
  /** It arrived and was served, but the answer never comes back. */
  readonly replyLost: number
  /** The request sits on the way for up to `delayMsMax`, long after its caller has given up. */
  readonly delayed: number
  /** The answer takes up to `delayMsMax`. */
  readonly slow: number
  readonly delayMsMax: number
}

export const noLinkFaults: LinkFaults = { refused: 0, requestLost: 0, replyLost: 0, delayed: 0, slow: 0, delayMsMax: 0 }

/** Whoever answers requests: a database, a provider. While it is down, connections to it are refused. */
export interface SimService {
  readonly name: string
  readonly up: boolean
}

/** A request as the network carries it: served once at most, in one step, at the moment it arrives. */
export interface SimRequest<T> {
  readonly label: string
  readonly serve: () => T
  /** The error that the caller sees; `no` when it is certain that nothing was served. */
  readonly lost: (applied: 'no' | 'unknown') => Error
  /** Longest block of the caller's event loop right before it sends this. */
  readonly blockMsMax?: number
}

/** Carries requests of simulated processes to one service. */
export class SimNetwork {
  faults: LinkFaults = noLinkFaults
  /** How long a message takes at most when nothing is wrong. */
  latencyMsMax = 5
  readonly #world: SimWorld
  readonly #service: SimService
  readonly #random: SimRandom

  /** `name` tells several networks to one service apart. */
  constructor(world: SimWorld, service: SimService, name = '') {
    this.#world = world
    this.#service = service
    this.#random = world.random.fork(`network/${service.name}/${name}`)
  }

  /** The answer, an error, or nothing for ever: a dead process and a half-open connection never hear back. */
  request<T>(from: SimProcess, request: SimRequest<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!from.checkpoint(request.blockMsMax)) return
      const fate = this.#fate()
      const sentMs = from.localMs
      const reply = (atMs: number, settle: () => void): void => void from.deliver(atMs, settle, 'message')
      const lose = (atMs: number): void => {
        // Half of the lost answers are noticed (a reset), the others never are.
        if (this.#random.chance(0.5)) reply(atMs, () => reject(request.lost('unknown')))
      }
      this.#world.note(from.name, () => `${this.#service.name} ← ${request.label}${fate === 'none' ? '' : ` (${fate})`}`)
      if (fate === 'refused') return reply(sentMs + this.#latencyMs(), () => reject(request.lost('no')))
      if (fate === 'request lost') return lose(sentMs + this.#random.between(1, 500))
      this.#world.time.schedule(sentMs + (fate === 'delayed' ? this.#delayMs() : this.#latencyMs()), () => {
        const { nowMs } = this.#world.time
        if (!this.#service.up) return reply(nowMs + this.#latencyMs(), () => reject(request.lost('no')))
        const settle = this.#serve(from, request, resolve, reject)
        if (fate === 'reply lost') return lose(nowMs + this.#random.between(1, 500))
        reply(nowMs + (fate === 'slow' ? this.#delayMs() : this.#latencyMs()), settle)
      })
      from.pauseInCall()
    })
  }

  #serve<T>(from: SimProcess, request: SimRequest<T>, resolve: (value: T) => void, reject: (error: unknown) => void): () => void {
    try {
      const value = request.serve()
      this.#world.note(this.#service.name, () => `${request.label} of ${from.name}: ${wordOf(value)}`)
      return () => resolve(value)
    } catch (error) {
      this.#world.note(this.#service.name, () => `${request.label} of ${from.name}: ${(error as Error).name}`)
      return () => reject(error)
    }
  }

  #fate(): 'none' | 'refused' | 'request lost' | 'reply lost' | 'delayed' | 'slow' {
    const { refused, requestLost, replyLost, delayed, slow } = this.faults
    if (refused + requestLost + replyLost + delayed + slow === 0) return 'none'
    const drawn = this.#random.fraction()
    let sum = 0
    for (const [fate, chance] of [
      ['refused', refused],
      ['request lost', requestLost],
      ['reply lost', replyLost],
      ['delayed', delayed],
      ['slow', slow],
    ] as const) {
      sum += chance
      if (drawn >= sum) continue
      this.#world.count(`${this.#service.name}: ${fate}`)
      return fate
    }
    return 'none'
  }

  #latencyMs(): number {
    return this.#random.between(this.latencyMsMax / 50, this.latencyMsMax)
  }

  #delayMs(): number {
    return this.#random.between(5, this.faults.delayMsMax)
  }
}

function wordOf(value: unknown): string {
  if (typeof value === 'string') return value
  const word = typeof value === 'object' && value !== null && 'word' in value ? value.word : undefined
  return typeof word === 'string' ? word : typeof value
}
