import {
  type AssignedPartition,
  type InboxPartition,
  InboxPositionLost,
  type InboxStore,
  type OffsetStep,
  type PartitionPosition,
  type ReceivedMessage,
} from '../core/index.ts'
import type { InboxSettings } from './inbox-settings.ts'
import { partitionName, partitionOf } from './message-id.ts'

interface Held {
  readonly partition: InboxPartition
  /** Random, new with each assignment: two owners are never the same, not even two of one process. */
  readonly owner: string
  applied: bigint
}

/**
 * The partitions of this process.
 *
 *   assigned ──adopt──▶ held(owner, applied) ──each message: compare-and-set on owner and applied──▶ held
 *                        └──revoked, or fenced by another owner──▶ gone: what is left of it is answered `abandoned`
 *
 * In message-id mode the record decides who runs, and this only tells what was taken away.
 */
export class Ownership<Tx> {
  readonly #settings: InboxSettings
  readonly #store: InboxStore<Tx>
  readonly #newOwner: () => string
  readonly #held = new Map<string, Held>()
  readonly #revoked = new Set<string>()

  constructor(settings: InboxSettings, store: InboxStore<Tx>, newOwner: () => string) {
    this.#settings = settings
    this.#store = store
    this.#newOwner = newOwner
  }

  async assign(partitions: readonly AssignedPartition[]): Promise<readonly PartitionPosition[]> {
    const positions: PartitionPosition[] = []
    for (const { logEnd, ...partition } of partitions) {
      if (this.#settings.mode === 'offset') {
        const applied = await this.#adopt(partition, logEnd)
        positions.push({ ...partition, next: applied < 0n ? undefined : applied + 1n })
      } else positions.push({ ...partition, next: undefined })
      this.#revoked.delete(partitionName(partition))
    }
    return positions
  }

  revoke(partitions: readonly InboxPartition[]): void {
    for (const partition of partitions) {
      this.#held.delete(partitionName(partition))
      this.#revoked.add(partitionName(partition))
    }
  }

  holds(message: ReceivedMessage): boolean {
    const name = partitionName(partitionOf(message))
    return this.#settings.mode === 'offset' ? this.#held.has(name) : !this.#revoked.has(name)
  }

  isApplied({ offset, ...message }: ReceivedMessage): boolean {
    const held = this.#find(message)
    return held !== undefined && offset !== undefined && offset <= held.applied
  }

  /** What advances the partition onto this message; nothing in message-id mode. */
  step({ offset, ...message }: ReceivedMessage): { readonly advance?: OffsetStep & { readonly partition: InboxPartition } } {
    const held = this.#find(message)
    if (held === undefined || offset === undefined) return {}
    return { advance: { partition: held.partition, owner: held.owner, from: held.applied, to: offset } }
  }

  applied({ offset, ...message }: ReceivedMessage): void {
    const held = this.#find(message)
    if (held !== undefined && offset !== undefined && offset > held.applied) held.applied = offset
  }

  /** After a step that changed no row: the partition may have been reset, and is still ours. False: it is not. */
  async adoptAgain(message: ReceivedMessage): Promise<boolean> {
    const held = this.#find(message)
    if (held === undefined) return false
    const found = await this.#store.owned(this.#settings.consumer, held.partition, held.owner)
    if (found === undefined) {
      this.#held.delete(partitionName(held.partition))
      return false
    }
    held.applied = found.applied
    return true
  }

  async #adopt(partition: InboxPartition, logEnd: bigint | undefined): Promise<bigint> {
    const { consumer } = this.#settings
    const owner = this.#newOwner()
    const { applied, incarnation } = await this.#store.adopt(consumer, partition, owner)
    const { source, partition: number } = partition
    const place = `partition ${number} of "${source}" for consumer "${consumer}"`
    if (incarnation !== '' && partition.incarnation !== undefined && partition.incarnation !== incarnation)
      throw new InboxPositionLost(
        `The source of ${place} was made anew: it is "${partition.incarnation}", and offset ${applied} was applied of "${incarnation}". Its messages are others under the same numbers. Look what happened, then call resetOffset.`,
      )
    if (logEnd !== undefined && logEnd <= applied)
      throw new InboxPositionLost(
        `The end of ${place} is ${logEnd}, and offset ${applied} is applied: the source lost messages or was made anew. Look what happened, then call resetOffset.`,
      )
    this.#held.set(partitionName(partition), { partition, owner, applied })
    return applied
  }

  #find(message: Omit<ReceivedMessage, 'offset'>): Held | undefined {
    return this.#held.get(partitionName(partitionOf(message)))
  }
}
