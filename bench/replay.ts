import { join } from 'node:path'
import type { Benchmark, Finding, Settings } from './benchmark.ts'
import { Child } from './child.ts'
import type { LoadAnswers, LoadRequest } from './load.ts'
import { placing } from './processor-core.ts'
import type { ReplayServerAnswers, ReplaySide } from './replay-server.ts'
import { alternate, compare } from './round.ts'

const connections = 32
const keys = 500

export const replay: Benchmark = {
  name: 'replay',
  about: 'an Express route behind oncely that answers completed duplicates, against the bare route',
  run: measure,
}

interface Sample {
  readonly processorUs: number
  readonly perSecond: number
}

async function measure({ quick, profile, step }: Settings): Promise<readonly Finding[]> {
  const load = new Child<LoadAnswers>('load', 'load')
  const floor = new Child<ReplayServerAnswers>('measured', 'replay-server', profile && join(profile, 'floor'))
  const ours = new Child<ReplayServerAnswers>('measured', 'replay-server', profile && join(profile, 'ours'))
  try {
    const [floorRound, oursRound] = await Promise.all([sideOf('floor', floor, load, quick), sideOf('ours', ours, load, quick)])
    await checkSameAnswer(floorRound.url, oursRound.url)
    // Every key completes, and code is compiled on both sides, before anything counts.
    step('warm-up')
    await floorRound.warm()
    await oursRound.warm()
    const executed = await ours.ask('executions')
    const rounds = await alternate(quick ? 5 : 9, { floor: floorRound.run, ours: oursRound.run }, step)
    if ((await ours.ask('executions')) !== executed) throw new Error('a duplicate of a completed key ran its handler')
    const rate = compare(rounds, 'higher', ({ perSecond }) => perSecond)
    return [
      {
        name: 'replay',
        metric: 'server processor time a request',
        unit: 'µs',
        ...compare(rounds, 'lower', ({ processorUs }) => processorUs),
        bar: { of: 'ratio', min: 0.9 },
        survives: oursRound.survives,
        note: `every request a duplicate, ${keys} keys, ${connections} connections, entity tags off, ${placing()}; requests a second ${rate.ours.toFixed(0)} against ${rate.floor.toFixed(0)} (${rate.ratio.toFixed(2)})`,
      },
    ]
  } finally {
    await Promise.all([load.stop(), floor.stop(), ours.stop()])
  }
}

async function sideOf(side: ReplaySide, server: Child<ReplayServerAnswers>, load: Child<LoadAnswers>, quick: boolean) {
  const { port, survives } = await server.ask('listen', side)
  const url = `http://127.0.0.1:${port}`
  const requests = Array.from({ length: keys }, (_, nth) => requestOf(nth))
  const run = async (seconds: number): Promise<Sample> => {
    const beforeUs = await server.ask('processorTimeUs')
    const { answered, seconds: lasted } = await load.ask('load', { url, connections, requests, seconds })
    const processorUs = ((await server.ask('processorTimeUs')) - beforeUs) / answered
    return { processorUs, perSecond: answered / lasted }
  }
  return {
    url,
    survives,
    warm: async (): Promise<void> => {
      // One connection alone first, so that no key is still in progress when its duplicate comes.
      await load.ask('load', { url, connections: 1, requests, amount: keys })
      await run(quick ? 1 : 6)
    },
    run: () => run(quick ? 1 : 3),
  }
}

/** A payment of about 600 bytes. */
function requestOf(nth: number): LoadRequest {
  const body = JSON.stringify({
    reference: `ref-${String(nth).padStart(6, '0')}`,
    amount: 1_999 + nth,
    currency: 'EUR',
    customer: { id: 'cus_8Gh2', email: 'ada@example.com', name: 'Ada Lovelace', country: 'DE' },
    method: { type: 'card', token: 'tok_visa_4242', capture: true },
    lines: [
      { sku: 'SKU-481516', name: 'notebook A5, ruled', quantity: 2, unitPrice: 499 },
      { sku: 'SKU-234242', name: 'USB-C cable, 2 m', quantity: 1, unitPrice: 1_001 },
    ],
    metadata: { campaign: null, source: 'web', experiment: 'checkout-b', session: 'c0ffee00-1234-4abc-8def-000000000042' },
  })
  const headers = { 'content-type': 'application/json', 'idempotency-key': `"key-${String(nth).padStart(6, '0')}"` }
  return { method: 'POST', path: '/payments', headers, body }
}

/** Both servers, and ours twice, must write the same body: else they are not doing the same work. */
async function checkSameAnswer(floorUrl: string, oursUrl: string): Promise<void> {
  const { method, path, headers, body } = requestOf(0)
  const ask = async (url: string): Promise<string> => {
    const response = await fetch(url + path, { method, headers, body })
    const named = [response.headers.get('content-type'), response.headers.get('location')]
    return JSON.stringify([response.status, ...named, await response.text()])
  }
  const expected = await ask(floorUrl)
  for (const round of ['first answer', 'replay']) {
    const answer = await ask(oursUrl)
    if (answer !== expected) throw new Error(`the ${round} is ${answer}, and the bare route's ${expected}`)
  }
}
