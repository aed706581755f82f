import assert from 'node:assert/strict'
import type { Store } from '../../core/index.ts'
import type { StoreCases, StoreHarness } from '../store-harness.ts'
import {
  acquire,
  answered,
  assertSame,
  claimRequest,
  completedRecord,
  newId,
  outcomeOf,
  payload,
  sealedRecord,
  suitePolicy,
} from './claim-request.ts'

const { retentionMs, tombstoneMs } = suitePolicy
const said = { by: 'counsel', reason: 'case 7' }
const asked = { reason: 'erasure request 7', batchMax: 2 }

type Erasing = Required<Pick<Store, 'erasePrincipal'>>
type Holding = Required<Pick<Store, 'hold' | 'holds'>>

/** For a store that finds records by their principal. */
const erasureCases: StoreCases = {
  'erasure: takes every ended record of one principal, in batches, and no other': async ({ store }) => {
    const [principal, other] = [newId(), newId()]
    const ids = [newId(), newId(), newId()]
    for (const id of ids) await completedRecord(store, claimRequest(id, { principal }))
    const stays = (await completedRecord(store, claimRequest(newId(), { principal: other }))).id
    const first = await erasing(store).erasePrincipal(principal, asked)
    assert.equal(first.erased.length, 2)
    assert.deepEqual([first.held, first.kept], [0, 1])
    const second = await erasing(store).erasePrincipal(principal, asked)
    assert.equal(second.erased.length, 1)
    const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')
    assert.deepEqual([...first.erased, ...second.erased].map(hex).sort(), ids.map(hex).sort())
    assertSame(await erasing(store).erasePrincipal(principal, asked), { erased: [], held: 0, kept: 0 })
    for (const id of ids) assert.equal(await store.read(id), undefined)
    assert.equal((await store.read(stays))?.state, 'completed')
    const [id] = ids as [Uint8Array]
    assert.deepEqual((await store.trail(id)).at(-1)?.reason, asked.reason)
    await acquire(store, claimRequest(id, { principal, fingerprint: payload('other') }))
  },

  'erasure: keeps what runs or is in doubt, and says so': async ({ store }) => {
    const principal = newId()
    const running = (await acquire(store, claimRequest(newId(), { principal }))).ownership.id
    const doubtful = (await sealedRecord(store, claimRequest(newId(), { principal }))).id
    assertSame(await erasing(store).erasePrincipal(principal, asked), { erased: [], held: 0, kept: 2 })
    assert.equal((await store.read(running))?.state, 'running')
    assert.equal((await store.read(doubtful))?.state, 'uncertain')
  },
}

/** For a store that knows legal holds. */
const holdCases: StoreCases = {
  'hold: a record that is held is neither swept nor erased, and its key stays used': async ({ store, advance }) => {
    const principal = newId()
    const id = (await completedRecord(store, claimRequest(newId(), { principal }))).id
    assert.equal(await holding(store).hold({ record: id }, { ...said, held: true }), true)
    assert.equal(await holding(store).hold({ record: id }, { ...said, held: true }), false)
    const [hold] = await holding(store).holds()
    assertSame([hold?.target, hold?.by, hold?.reason], [{ record: id }, said.by, said.reason])
    await assert.rejects(store.forget(id, { reason: 'asked for' }), { code: 'ONCELY_RECORD_HELD' })
    if (store.erasePrincipal !== undefined) assertSame(await store.erasePrincipal(principal, asked), { erased: [], held: 1, kept: 0 })
    await advance(3 * tombstoneMs)
    assert.equal((await store.sweep({ batchMax: 100 })).removed, 0)
    const kept = await store.read(id)
    assert.equal(kept?.state, 'completed')
    assertSame(kept.outcome, outcomeOf('first'))
    assert.deepEqual(
      (await store.trail(id)).map(({ event }) => event),
      ['claimed', 'completed'],
    )
    answered(await store.claim(claimRequest(id)), 'expired')
    assert.equal(answered(await store.claim(claimRequest(id, { fingerprint: payload('other') })), 'mismatch').word, 'mismatch')
  },

  'hold: of a principal covers the records that come later, and no other principal': async ({ store, advance }) => {
    const [principal, other] = [newId(), newId()]
    const before = (await completedRecord(store, claimRequest(newId(), { principal }))).id
    await holding(store).hold({ principal }, { ...said, held: true })
    const later = (await completedRecord(store, claimRequest(newId(), { principal }))).id
    const free = (await completedRecord(store, claimRequest(newId(), { principal: other }))).id
    await advance(tombstoneMs + 5_000)
    assert.equal((await store.sweep({ batchMax: 100 })).removed, 1)
    assert.equal(await store.read(free), undefined)
    for (const id of [before, later]) assert.equal((await store.read(id))?.state, 'completed')
  },

  'hold: a held record replays and is completed as any other': async ({ store, advance }) => {
    const principal = newId()
    await holding(store).hold({ principal }, { ...said, held: true })
    const request = claimRequest(newId(), { principal })
    const { ownership } = await acquire(store, request)
    await store.sweep({ batchMax: 100 })
    assert.equal(await store.complete(ownership, outcomeOf('first')), 'done')
    assertSame(answered(await store.claim(claimRequest(request.id, { principal })), 'replay').outcome, outcomeOf('first'))
    await advance(retentionMs + 5_000)
    answered(await store.claim(claimRequest(request.id, { principal })), 'expired')
  },

  'hold: lifted, the record goes by its own policy again': async ({ store, advance }) => {
    const id = (await completedRecord(store, claimRequest(newId()))).id
    await holding(store).hold({ record: id }, { ...said, held: true })
    await advance(tombstoneMs + 5_000)
    await store.sweep({ batchMax: 100 })
    assert.equal(await holding(store).hold({ record: id }, { ...said, held: false }), true)
    assert.equal(await holding(store).hold({ record: id }, { ...said, held: false }), false)
    assert.deepEqual(await holding(store).holds(), [])
    assert.equal((await store.sweep({ batchMax: 100 })).removed, 1)
    assert.equal(await store.read(id), undefined)
  },
}

/** The lifecycle cases that this store promises to keep. */
export function lifecycleCasesFor({ store }: StoreHarness): StoreCases {
  return { ...(store.erasePrincipal === undefined ? {} : erasureCases), ...(store.hold === undefined ? {} : holdCases) }
}

function erasing(store: Store): Erasing {
  assert.ok(store.erasePrincipal !== undefined)
  return { erasePrincipal: store.erasePrincipal.bind(store) }
}

function holding(store: Store): Holding {
  assert.ok(store.hold !== undefined && store.holds !== undefined)
  return { hold: store.hold.bind(store), holds: store.holds.bind(store) }
}
