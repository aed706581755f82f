import { type ClaimAnswer, type ClaimRequest, compareTokens, type FencingToken, formatToken, type Outcome, toHex } from '../core/index.ts'
import type { SequentialModel } from '../testing/index.ts'

/**
 * The record as its callers may see it, without its clock: at most one attempt holds it, effects that may have started are never
 * forgotten, tokens grow, and the first outcome stands. What depends on time (has this lease ended?) may go either way.
 */
export type RecordCall =
  | { readonly type: 'claim'; readonly request: ClaimRequest }
  | { readonly type: 'renew'; readonly owner: Owner; readonly begun: boolean }
  | { readonly type: 'complete'; readonly owner: Owner; readonly outcome: string }
  | { readonly type: 'release'; readonly owner: Owner; readonly declared: boolean }
  | { readonly type: 'seal'; readonly owner: Owner }
  | { readonly type: 'resolve'; readonly token: FencingToken; readonly outcome: string | undefined }
  /** Claim, rows and outcome in one commit. The outcome is known once the handler has ended. */
  | { readonly type: 'transact'; readonly request: ClaimRequest; outcome: string | undefined }
  /** The handler has committed the claim itself, without an outcome. */
  | { readonly type: 'escape'; readonly request: ClaimRequest }

/** The word of an answer; a granted claim also tells its token, a replay its outcome. */
export interface RecordReply {
  readonly word: string
  readonly token?: FencingToken
  readonly outcome?: string
}

/** Who holds a claim. The token is undefined while only the owner of a lost answer could know it. */
interface Owner {
  readonly attemptId: string
  readonly token: FencingToken | undefined
}

interface RecordView {
  readonly state: 'free' | 'held' | 'uncertain' | 'quarantined' | 'done'
  readonly owner: Owner
  readonly payload: string
  readonly begun: boolean
  readonly outcome: string
}

type Call<T extends RecordCall['type']> = Extract<RecordCall, { type: T }>

const nobody: Owner = { attemptId: '', token: undefined }

export const recordModel: SequentialModel<RecordView, RecordCall, RecordReply> = {
  initial: { state: 'free', owner: nobody, payload: '', begun: false, outcome: '' },
  step,
  stepUnknown,
  keyOf: ({ state, owner, payload, begun, outcome }) => `${state}/${ownerKey(owner)}/${payload}/${begun}/${outcome}`,
  inputKeyOf,
}

function inputKeyOf(call: RecordCall): string {
  switch (call.type) {
    case 'claim':
    case 'escape':
      return `${call.type}/${call.request.attemptId}`
    case 'transact':
      return `${call.type}/${call.request.attemptId}/${call.outcome ?? ''}`
    case 'renew':
      return `${call.type}/${ownerKey(call.owner)}/${call.begun}`
    case 'complete':
      return `${call.type}/${ownerKey(call.owner)}/${call.outcome}`
    case 'release':
      return `${call.type}/${ownerKey(call.owner)}/${call.declared}`
    case 'seal':
      return `${call.type}/${ownerKey(call.owner)}`
    case 'resolve':
      return `${call.type}/${formatToken(call.token)}/${call.outcome ?? ''}`
    default:
      return call satisfies never
  }
}

function ownerKey({ attemptId, token }: Owner): string {
  return `${attemptId}/${token === undefined ? '' : formatToken(token)}`
}

function step(view: RecordView, call: RecordCall, reply: RecordReply): readonly RecordView[] {
  switch (call.type) {
    case 'claim':
      return claim(view, call.request, reply)
    case 'renew':
      return reply.word === 'done' ? renewed(view, call) : unlessHeld(view, call.owner)
    case 'complete':
      return complete(view, call, reply.word)
    case 'release':
      return release(view, call, reply.word)
    case 'seal':
      return reply.word === 'done' ? sealed(view, call) : unlessHeld(view, call.owner)
    case 'resolve':
      return resolve(view, call, reply.word)
    case 'transact':
      return transact(view, call, reply)
    case 'escape':
      return escaped(view, call)
    default:
      return call satisfies never
  }
}

function stepUnknown(view: RecordView, call: RecordCall): readonly RecordView[] {
  switch (call.type) {
    case 'claim':
      return [...granted(view, call.request, undefined), ...doubted(view, call.request), ...exhausted(view, call.request)]
    case 'renew':
      return renewed(view, call)
    case 'complete':
      return complete(view, call, 'done')
    case 'release':
      return release(view, call, 'done')
    case 'seal':
      return sealed(view, call)
    case 'resolve':
      return resolve(view, call, 'resolved')
    case 'transact':
      return [...doubted(view, call.request), ...(call.outcome === undefined ? [] : committed(view, call.request, call.outcome))]
    case 'escape':
      return escaped(view, call)
    default:
      return call satisfies never
  }
}

function claim(view: RecordView, request: ClaimRequest, reply: RecordReply): readonly RecordView[] {
  const same = view.payload === payloadOf(request)
  const stands = (...states: RecordView['state'][]): readonly RecordView[] => (same && states.includes(view.state) ? [view] : [])
  switch (reply.word as ClaimAnswer['word']) {
    case 'acquired':
      return granted(view, request, reply.token)
    case 'replay':
      return view.outcome === reply.outcome ? stands('done') : []
    case 'in-progress':
      return stands('held')
    case 'mismatch':
      return same || view.state === 'free' ? [] : [view]
    case 'uncertain':
      return [...stands('uncertain'), ...doubted(view, request)]
    case 'quarantined':
      return [...stands('quarantined'), ...exhausted(view, request)]
    case 'expired':
      return stands('done', 'uncertain')
    default:
      return []
  }
}

/** The claim is granted: nobody holds the record, or somebody whose lease may have ended and whose attempt may be repeated. */
function granted(view: RecordView, request: ClaimRequest, token: FencingToken | undefined): readonly RecordView[] {
  const { state, owner } = view
  if (state === 'held' && owner.attemptId === request.attemptId && fits(owner, token))
    return [{ ...view, owner: { ...owner, token: token ?? owner.token } }]
  if (!isFree(view, request) || (token !== undefined && owner.token !== undefined && compareTokens(token, owner.token) <= 0)) return []
  const begun = request.begun || (state === 'held' && view.begun)
  return [{ state: 'held', owner: { attemptId: request.attemptId, token }, payload: payloadOf(request), begun, outcome: '' }]
}

function isFree(view: RecordView, request: ClaimRequest): boolean {
  if (view.state === 'free') return true
  return view.state === 'held' && view.payload === payloadOf(request) && (!view.begun || repeats(request))
}

function repeats(request: ClaimRequest): boolean {
  return request.rerunnable || request.policy.onLostLease === 'takeover'
}

function doubted(view: RecordView, request: ClaimRequest): readonly RecordView[] {
  const lost = view.state === 'held' && view.begun && view.payload === payloadOf(request) && !repeats(request)
  return lost ? [{ ...view, state: 'uncertain' }] : []
}

function exhausted(view: RecordView, request: ClaimRequest): readonly RecordView[] {
  return isFree(view, request) ? [{ ...view, state: 'quarantined', payload: view.payload }] : []
}

/** The record if this owner holds it, with its token filled in. */
function held(view: RecordView, owner: Owner, ...states: RecordView['state'][]): readonly RecordView[] {
  if (!states.includes(view.state) || view.owner.attemptId !== owner.attemptId || !fits(view.owner, owner.token)) return []
  return [{ ...view, owner: { ...view.owner, token: owner.token ?? view.owner.token } }]
}

/** `lost`: possible unless this owner surely holds the record. */
function unlessHeld(view: RecordView, owner: Owner, ...states: RecordView['state'][]): readonly RecordView[] {
  const surely = view.owner.token !== undefined && held(view, owner, ...(states.length === 0 ? (['held'] as const) : states)).length > 0
  return surely ? [] : [view]
}

function fits(owner: Owner, token: FencingToken | undefined): boolean {
  return owner.token === undefined || token === undefined || compareTokens(owner.token, token) === 0
}

function renewed(view: RecordView, call: Call<'renew'>): readonly RecordView[] {
  return held(view, call.owner, 'held').map((mine) => ({ ...mine, begun: mine.begun || call.begun }))
}

function complete(view: RecordView, call: Call<'complete'>, word: string): readonly RecordView[] {
  const { owner, outcome } = call
  const again = held(view, owner, 'done')
  if (word === 'lost') return unlessHeld(view, owner, 'held', 'uncertain', 'done')
  if (word === 'conflict') return again.filter((done) => done.outcome !== outcome)
  return [
    ...held(view, owner, 'held', 'uncertain').map((mine) => ({ ...mine, state: 'done' as const, outcome })),
    ...again.filter((done) => done.outcome === outcome),
  ]
}

function release(view: RecordView, call: Call<'release'>, word: string): readonly RecordView[] {
  const mine = held(view, call.owner, 'held')
  if (word === 'lost') return unlessHeld(view, call.owner, 'held', 'free')
  if (word === 'begun') return mine.filter(({ begun }) => begun)
  const again = held(view, call.owner, 'free')
  return [
    ...mine.filter(({ begun }) => !begun || call.declared).map((freed) => ({ ...freed, state: 'free' as const, begun: false })),
    ...again,
  ]
}

function sealed(view: RecordView, call: Call<'seal'>): readonly RecordView[] {
  return held(view, call.owner, 'held', 'uncertain').map((mine) => ({ ...mine, state: 'uncertain' }))
}

function resolve(view: RecordView, call: Call<'resolve'>, word: string): readonly RecordView[] {
  const { owner, state } = view
  const expected = state === 'uncertain' && (owner.token === undefined || compareTokens(owner.token, call.token) === 0)
  if (word === 'changed') return expected && owner.token !== undefined ? [] : [view]
  if (!expected) return []
  const known = { ...view, owner: { ...owner, token: call.token } }
  if (word === 'early') return call.outcome === undefined ? [known] : []
  return [call.outcome === undefined ? { ...known, state: 'free', begun: false } : { ...known, state: 'done', outcome: call.outcome }]
}

function transact(view: RecordView, call: Call<'transact'>, reply: RecordReply): readonly RecordView[] {
  const open = view.state === 'free' || view.state === 'held'
  switch (reply.word) {
    case 'committed':
      return committed(view, call.request, call.outcome ?? '')
    case 'rolled-back':
    case 'fenced':
      return [view]
    // What runs in an open transaction is no state of the record.
    case 'in-progress':
      return open ? [view] : []
    case 'mismatch':
      return view.state === 'free' || view.payload !== payloadOf(call.request) ? [view] : []
    default:
      return claim(view, call.request, reply)
  }
}

function committed(view: RecordView, request: ClaimRequest, outcome: string): readonly RecordView[] {
  const { attemptId } = request
  if (!isFree(view, request)) return []
  return [{ state: 'done', owner: { attemptId, token: undefined }, payload: payloadOf(request), begun: false, outcome }]
}

/** Held by an attempt whose effects stand, and which no claim may repeat. */
function escaped(view: RecordView, { request }: Call<'escape'>): readonly RecordView[] {
  if (!isFree(view, request)) return []
  return [
    { state: 'held', owner: { attemptId: request.attemptId, token: undefined }, payload: payloadOf(request), begun: true, outcome: '' },
  ]
}

function payloadOf(request: ClaimRequest): string {
  return toHex(request.fingerprint.plain)
}

/** An outcome as text. */
export function outcomeText(outcome: Outcome | undefined): string {
  return outcome === undefined ? 'none' : `${outcome.codec}:${toHex(outcome.bytes)}`
}
