import { ConfigurationError, toHex } from '../../core/index.ts'

/**
 * Where the records are. Each partition's keys carry one hash tag, so that a script finds all of a record on one server of a
 * cluster, and the partitions lie on all of them.
 */
export interface RedisPlace {
  readonly prefix: string
  readonly partitions: number
}

/** @throws ConfigurationError when the prefix could not be a part of a hash tag. */
export function redisPlace(prefix: string, partitions: number): RedisPlace {
  if (!/^[a-z0-9][a-z0-9_.-]{0,63}$/i.test(prefix))
    throw new ConfigurationError(
      `prefix is ${JSON.stringify(prefix)}; it must be 1 to 64 letters, digits, dots, dashes and underscores, such as 'oncely'.`,
    )
  return { prefix, partitions }
}

export interface PartitionKeys {
  readonly state: string
  readonly due: string
}

export function partitionKeys(place: RedisPlace, partition: number): PartitionKeys {
  const tag = tagOf(place, partition)
  return { state: `${tag}:state`, due: `${tag}:due` }
}

/** The keys of `lua/record.ts`, in its order. */
export function recordKeys(
  place: RedisPlace,
  id: Uint8Array | string,
): [record: string, outcome: string, state: string, due: string, trail: string] {
  const hex = typeof id === 'string' ? id : toHex(id)
  const partition = Number.parseInt(hex.slice(0, 4), 16) % place.partitions
  const tag = tagOf(place, partition)
  const { state, due } = partitionKeys(place, partition)
  return [`${tag}:record:${hex}`, `${tag}:outcome:${hex}`, state, due, `${tag}:trail:${hex}`]
}

export function countsKey(place: RedisPlace, id: Uint8Array): string {
  return recordKeys(place, id)[4].replace(':trail:', ':counts:')
}

export function instanceKey({ prefix }: RedisPlace): string {
  return `{${prefix}:instance}`
}

function tagOf({ prefix }: RedisPlace, partition: number): string {
  return `{${prefix}:${partition}}`
}
