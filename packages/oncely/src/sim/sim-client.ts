import type { Answer } from './referee.ts'
import { operationKinds, type PaymentRequest } from './scenario.ts'
import type { LinkFaults } from './sim-network.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimServer } from './sim-server.ts'
import type { SimWorld } from './world.ts'

const patienceMs = 15_000

/** Sends one request to any of the servers, again under the same key until it has a final word. It never dies itself. */
export class SimClient {
  readonly request: PaymentRequest
  faults: LinkFaults
  readonly #world: SimWorld
  readonly #servers: readonly SimServer[]
  readonly #random: SimRandom
  #final: Answer | undefined

  constructor(world: SimWorld, servers: readonly SimServer[], request: PaymentRequest, faults: LinkFaults, name: string) {
    this.#world = world
    this.#servers = servers
    this.request = request
    this.faults = faults
    this.#random = world.random.fork(name)
  }

  /** The word with which it stopped asking. */
  get final(): Answer | undefined {
    return this.#final
  }

  start(atMs: number): void {
    this.#world.time.schedule(atMs, () => void this.#send())
  }

  /** One try: the answer, or nothing when it was lost or took too long. Sometimes the request arrives at two servers. */
  #send(): void {
    const [one, other] = [this.#random.pick(this.#servers), this.#random.pick(this.#servers)]
    let over = false
    const hear = (answer: Answer | undefined): void => {
      if (over) return
      over = true
      if (answer !== undefined && isFinal(this.request, answer)) this.#final = answer
      else this.#world.time.schedule(this.#world.time.nowMs + this.#random.between(100, 3_000), () => this.#send())
    }
    this.#world.time.schedule(this.#world.time.nowMs + patienceMs, () => hear(undefined))
    this.#carry(one, hear)
    if (this.faults.delayed > 0 && this.#random.chance(0.1)) {
      this.#world.count('client: request sent twice')
      this.#carry(other, hear)
    }
  }

  #carry(server: SimServer, hear: (answer: Answer) => void): void {
    const { time } = this.#world
    if (this.#lost('request lost', this.faults.requestLost + this.faults.refused)) return
    const { process } = server
    process.deliver(
      time.nowMs + this.#latencyMs(),
      () => {
        void server.handle(this.request).then((answer) => {
          if (this.#lost('reply lost', this.faults.replyLost)) return
          time.schedule(time.nowMs + this.#latencyMs(), () => hear(answer))
        })
      },
      'message',
    )
  }

  #lost(what: string, chance: number): boolean {
    const lost = chance > 0 && this.#random.chance(chance)
    if (lost) this.#world.count(`client: ${what}`)
    return lost
  }

  #latencyMs(): number {
    const { slow, delayed, delayMsMax } = this.faults
    if (slow + delayed === 0 || !this.#random.chance(slow + delayed)) return this.#random.between(0.1, 5)
    this.#world.count('client: slow')
    return this.#random.between(5, delayMsMax)
  }
}

/** Whether a client has nothing to hope for from asking again. */
function isFinal(request: PaymentRequest, answer: Answer): boolean {
  switch (answer.status) {
    case 'done':
    case 'replayed':
    case 'rejected':
    case 'mismatch':
    case 'quarantined':
    case 'expired':
    case 'forbidden':
    case 'not-stored':
    case 'unprotected':
      return true
    case 'uncertain':
      return !operationKinds[request.operation].resolver
    case 'in-progress':
    case 'unrecorded':
    case 'unavailable':
    case 'threw':
      return false
    default:
      return answer satisfies never
  }
}
