import { ageOf, fromHex, type OncelyRecord, type SweepAnswer } from '../../core/index.ts'
import { type EtcdClient, get, getRange, type Operation, put, remove, removeAll, unchanged } from '../../etcd/index.ts'
import type { EtcdPlace } from './etcd-name.ts'
import { recordOf, recordValue } from './record-value.ts'

const chunkMax = 16

/**
 * Looks at what is due, oldest first. A due key is a reminder and no fact: the record decides.
 *
 *   completed, fresh ─▶ reminder dropped (a younger one waits)      completed, tombstone ─▶ its bytes removed, reminder at its end
 *   completed, aged; released for long ─▶ removed, reminder for the trail      no record ─▶ trail and counts removed
 *   anything else ─▶ reminder dropped
 */
export class Sweeper {
  readonly #client: EtcdClient
  readonly #place: EtcdPlace
  readonly #trailMs: number

  constructor(client: EtcdClient, place: EtcdPlace, trailMs: number) {
    this.#client = client
    this.#place = place
    this.#trailMs = trailMs
  }

  async sweep(batchMax: number): Promise<SweepAnswer> {
    const { earliestMs } = await this.#client.time()
    const nowMs = Math.floor(earliestMs)
    const end = this.#place.due(nowMs + 1, '')
    let removed = 0
    for (let from = this.#place.dues; removed < batchMax; ) {
      const limit = Math.min(chunkMax, batchMax - removed)
      const { found } = await this.#client.transact({ success: [getRange(from, end, limit, true)] })
      const due = (found[0] ?? []).map(({ key }) => key)
      const done = await Promise.all(due.map((key) => this.#look(key, nowMs)))
      removed += done.filter((word) => word === 'removed').length
      const last = due.at(-1)
      if (last === undefined || due.length < limit) break
      from = `${last}\0`
    }
    return { removed }
  }

  async #look(due: string, nowMs: number): Promise<'removed' | 'kept'> {
    const keys = this.#place.keysOf(due.slice(due.lastIndexOf('/') + 1))
    const { found } = await this.#client.transact({ success: [get(keys.record)] })
    const stored = found[0]?.[0]
    const record = stored === undefined ? undefined : recordOf(fromHex(keys.hex), stored, undefined)
    const verdict = verdictOn(record, nowMs)
    const success: Operation[] = [remove(due)]
    if (verdict === 'remove')
      success.push(remove(keys.record), remove(keys.outcome), put(this.#place.due(nowMs + this.#trailMs, keys.hex), ''))
    if (verdict === 'remove-trail') success.push(removeAll(keys.trail), remove(keys.counts))
    if (verdict === 'age' && record?.state === 'completed')
      success.push(
        put(keys.record, recordValue({ ...record, outcome: undefined })),
        remove(keys.outcome),
        put(this.#place.due(record.completedAtMs + record.policy.tombstoneMs, keys.hex), ''),
      )
    // Somebody moved the record meanwhile: the reminder stays for the next sweep.
    const { succeeded } = await this.#client.transact({ compare: [unchanged(keys.record, stored?.modRevision ?? 0n)], success })
    return succeeded && verdict === 'remove' ? 'removed' : 'kept'
  }
}

function verdictOn(record: OncelyRecord | undefined, nowMs: number): 'remove' | 'age' | 'remove-trail' | 'keep' {
  if (record === undefined) return 'remove-trail'
  if (record.state === 'released') return nowMs - record.releasedAtMs >= record.policy.tombstoneMs ? 'remove' : 'keep'
  if (record.state !== 'completed') return 'keep'
  const age = ageOf(record, nowMs)
  return age === 'absent' ? 'remove' : age === 'tombstone' ? 'age' : 'keep'
}
