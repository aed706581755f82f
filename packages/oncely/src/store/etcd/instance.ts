import { StoreSchemaMismatch, StoreUnavailable } from '../../core/index.ts'
import { type EtcdClient, get, type KeyValue, put, type TransactionAnswer, unchanged } from '../../etcd/index.ts'
import { nodeRandom } from '../../platform/index.ts'

/** The layout of the keys; another one is refused. */
const layout = 1

/** Which life of which cluster the records belong to. Every claim is bound to it: its epoch is the first half of the token. */
export interface Instance {
  readonly instanceId: string
  readonly epoch: number
  readonly clusterId: string
  readonly modRevision: bigint
}

interface Stored {
  readonly layout: number
  readonly instanceId: string
  readonly epoch: number
  readonly clusterId: string
}

/** Undefined when there is none, or when it is of another cluster: the keys came out of a snapshot, where revisions begin again. */
export function instanceOf(stored: KeyValue | undefined, clusterId: string): Instance | undefined {
  if (stored === undefined) return undefined
  const { layout: found, ...rest } = JSON.parse(new TextDecoder().decode(stored.value)) as Stored
  if (found !== layout) throw new StoreSchemaMismatch(`The keys at "${stored.key}" have layout ${found}, and this version reads ${layout}.`)
  return rest.clusterId === clusterId ? { ...rest, modRevision: stored.modRevision } : undefined
}

/**
 * Reads the instance; makes it where it is missing or of another cluster, with a newer epoch. Epochs are not below the seconds since
 * 1970, so that they grow also over an instance that was removed.
 */
export async function currentInstance(client: EtcdClient, key: string): Promise<Instance> {
  for (let round = 0; round < 10; round++) {
    const { found, clusterId }: TransactionAnswer = await client.transact({ success: [get(key)] })
    const stored = found[0]?.[0]
    const instance = instanceOf(stored, clusterId)
    if (instance !== undefined) return instance
    const before = stored === undefined ? 0 : (JSON.parse(new TextDecoder().decode(stored.value)) as Stored).epoch
    const { nowMs } = await client.time()
    const made: Stored = {
      layout,
      instanceId: nodeRandom.uuid(),
      epoch: Math.max(before + 1, Math.floor(nowMs / 1_000)),
      clusterId,
    }
    await client.transact({ compare: [unchanged(key, stored?.modRevision ?? 0n)], success: [put(key, JSON.stringify(made))] })
  }
  throw new StoreUnavailable(`The key "${key}" changes with every look; two clusters may answer at the same endpoints.`, { applied: 'no' })
}
