import { type StoreInfo, survivesOrder, Unsupported } from '../../core/index.ts'
import type { RedisLink, RedisReply } from './redis-client.ts'
import { replyCode } from './redis-error.ts'
import { listOf, textOf } from './redis-record.ts'

type Survival = Pick<StoreInfo, 'survives' | 'survivesBecause'>

const versionMin = 7

/** Reads what the running servers promise; of several the weakest counts. */
export async function readSurvival(link: RedisLink, waitReplicas: number): Promise<Survival> {
  const [infos, settings] = await Promise.all([link.callEach('INFO', []), readSettings(link)])
  const each = infos.map((info, index) => survivalOf(sections(textOf(info)), settings[index], waitReplicas))
  return each.reduce((weakest, next) => (survivesOrder.indexOf(next.survives) < survivesOrder.indexOf(weakest.survives) ? next : weakest))
}

/** Hosted servers forbid CONFIG; then the settings are not known, and what depends on them is not promised. */
async function readSettings(link: RedisLink): Promise<readonly (ReadonlyMap<string, string> | undefined)[]> {
  try {
    const replies = await link.callEach('CONFIG', ['GET', '*append*'])
    return replies.map(pairsOf)
  } catch (error) {
    if (replyCode(error) === '') throw error
    return []
  }
}

function survivalOf(info: ReadonlyMap<string, string>, settings: ReadonlyMap<string, string> | undefined, waitReplicas: number): Survival {
  const said = (name: string): string => info.get(name) ?? ''
  const version = said('redis_version')
  if (Number.parseInt(version, 10) < versionMin)
    throw new Unsupported(`The server is Redis ${version}; the store needs ${versionMin}.0 or newer.`)
  const policy = said('maxmemory_policy')
  if (policy.startsWith('allkeys'))
    return { survives: 'nothing', survivesBecause: `maxmemory-policy = ${policy}: it evicts records, and a key that is gone runs again` }
  if (said('aof_enabled') !== '1')
    return { survives: 'nothing', survivesBecause: 'appendonly = no: a crash loses what came after the last snapshot' }
  const flush = settings?.get('appendfsync')
  const append = `appendonly = yes, appendfsync = ${flush ?? 'unknown (CONFIG is forbidden)'}`
  if (flush !== 'always') return { survives: 'restart', survivesBecause: append }
  if (settings?.get('no-appendfsync-on-rewrite') === 'yes')
    return { survives: 'restart', survivesBecause: `${append}, no-appendfsync-on-rewrite = yes` }
  const replicas = Number(said('connected_slaves'))
  if (replicas === 0) return { survives: 'power', survivesBecause: `${append}, maxmemory-policy = ${policy}, no replica` }
  if (waitReplicas === 0)
    return {
      survives: 'restart',
      survivesBecause: `${append}, and ${replicas} replica that writes do not wait for: a promoted one lacks the newest records (waitReplicas = 0)`,
    }
  return {
    survives: 'power',
    survivesBecause: `${append}, each write waits for ${waitReplicas} of ${replicas} replica; Redis elects without counting them`,
  }
}

/** `name:value` lines of INFO. */
function sections(info: string): ReadonlyMap<string, string> {
  return new Map(
    info
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

/** A list of names and values in RESP2; RESP3 makes it a map, which clients show as an object. */
function pairsOf(reply: RedisReply): ReadonlyMap<string, string> {
  const list = listOf(reply)
  if (list.length === 0 && typeof reply === 'object' && reply !== null)
    return new Map(Object.entries(reply as unknown as Record<string, RedisReply>).map(([name, value]) => [name, textOf(value)]))
  const pairs = new Map<string, string>()
  for (let index = 0; index < list.length; index += 2) pairs.set(textOf(list[index]), textOf(list[index + 1]))
  return pairs
}
