import assert from 'node:assert/strict'
import { StoreUnavailable } from '../../core/index.ts'
import { type HttpResponse, reject, reply } from '../../http/index.ts'
import { deferred } from '../store/deferred.ts'
import { openExchange, readWhole } from './exchange.ts'
import { assertProblem, assertReplay, freshKey, type HttpCases, interposed } from './http-world.ts'

/** Crashes, outages and clients that go away. */
export const failureCases: HttpCases = {
  'R31: the handler gets a fence, and keys for others that are stable and its own': async (world) => {
    const seen: { keys: string[]; seq: bigint; attempt: number }[] = []
    const begin = world.bind === 'lease' ? ({ begin: 'explicit' } as const) : {}
    const app = await world.start({
      operation: begin,
      handler: ({ deriveKey, fence, attempt }) => {
        seen.push({ keys: [deriveKey('psp'), deriveKey('mail')], seq: fence.seq, attempt })
        return seen.length === 1 ? reply(503) : reply(201)
      },
    })
    const key = freshKey()
    await app.post(key)
    await app.post(key)
    const [first, second] = seen
    assert.deepEqual(first?.keys, second?.keys)
    assert.notEqual(first?.keys[0], first?.keys[1])
    assert.ok(!first?.keys.some((derived) => derived.includes(key)))
    assert.deepEqual([first?.attempt, second?.attempt], world.bind === 'lease' ? [1, 2] : [1, 1])
    // A rolled-back claim never was, so its fence may come again.
    if (world.bind === 'lease') assert.ok((second?.seq ?? 0n) > (first?.seq ?? 0n), 'the fence grows')
  },

  'R32: a client that goes away changes nothing: the work ends, is stored and replayed': async (world) => {
    const gate = deferred<void>()
    const started = deferred<void>()
    const app = await world.start({
      handler: async () => {
        started.resolve()
        await gate.promise
        return reply(201, 'finished')
      },
    })
    const key = freshKey()
    const request = openExchange(app.port, { headers: { 'idempotency-key': key } })
    await started.promise
    request.abort()
    await assert.rejects(request.head)
    gate.resolve()
    await app.until('completed')
    const answer = await app.send({ headers: { 'idempotency-key': key } })
    assert.equal(answer.header('idempotent-replayed'), 'true')
    assert.equal(answer.body.toString('utf8'), 'finished')
    assert.equal(app.runs, 1)
  },

  'R33: no byte leaves before the outcome is durable': async (world) => {
    const durable = deferred<void>()
    const completing = deferred<void>()
    const app = await world.start({
      store: (store) =>
        interposed(store, (methods) => ({
          complete: async (...args) => {
            completing.resolve()
            await durable.promise
            return methods.complete.apply(store, args)
          },
          transact: async (...args) => {
            const result = await methods.transact.apply(store, args)
            completing.resolve()
            await durable.promise
            return result
          },
        })),
    })
    const request = openExchange(app.port, { headers: { 'idempotency-key': freshKey() } })
    await completing.promise
    let answered = false
    const whole = request.head.then((head) => {
      answered = true
      return readWhole(head)
    })
    await app.send({ method: 'GET', headers: { 'idempotency-key': freshKey() } })
    assert.equal(answered, false)
    durable.resolve()
    assert.equal((await whole).status, 201)
  },

  'R36: a response that is too large is given once, whole': async (world) => {
    const app = await world.start({
      limits: { responseBytesMax: 1_000 },
      handler: () => reply(201, 'x'.repeat(5_000), { location: '/payments/1' }),
    })
    const key = freshKey()
    const first = await app.post(key)
    assert.equal(first.status, 201)
    assert.equal(first.body.length, 5_000)
    const body = assertProblem(await app.post(key), 409, 'result-not-stored')
    assert.deepEqual(
      [body['reason'], body['original_status'], body['resource'], body['safe_new_key']],
      ['oversize', 201, '/payments/1', false],
    )
    assert.equal(app.runs, 1)
  },

  'R50: a store that fails or hangs is answered with 503 in a bounded time, and nothing runs': async (world) => {
    const failing = new StoreUnavailable('the suite has cut the store off', { applied: 'no' })
    const never = new Promise<never>(() => {})
    for (const broken of [() => Promise.reject(failing), () => never]) {
      const app = await world.start({
        limits: { storeTimeoutMs: 100 },
        store: (store) => interposed(store, () => ({ claim: broken, transact: broken })),
      })
      const answer = await app.post(freshKey())
      const body = assertProblem(answer, 503, 'unavailable')
      assert.deepEqual([body['retryable'], body['same_key'], body['safe_new_key']], [true, true, false])
      assert.match(answer.header('retry-after') ?? '', /^[1-9]\d*$/)
      assert.equal(app.runs, 0)
    }
  },
}

/** What becomes of an attempt under a lease. */
export const leaseFailureCases: HttpCases = {
  'R14: an owner whose record is gone does not answer with its own result, and the key is claimed anew': async (world) => {
    const gate = deferred<void>()
    const ids: string[] = []
    const app = await world.start({
      handler: async ({ record, attempt }) => {
        ids.push(record)
        if (ids.length === 1) await gate.promise
        return reply(201, { attempt })
      },
    })
    const key = freshKey()
    const first = app.post(key)
    const { record } = await app.until('claimed')
    await app.oncely.forget(Uint8Array.from(Buffer.from(record, 'hex')), 'the suite erases it')
    gate.resolve()
    assertProblem(await first, 409, 'uncertain')
    assert.equal((await app.post(key)).status, 201)
    assert.equal(app.events.filter(({ type }) => type === 'claimed').length, app.runs)
  },

  'R27: the answer goes out although it could not be recorded, and a retry does not run again': async (world) => {
    const outage = () => Promise.reject(new StoreUnavailable('the suite has cut the store off', { applied: 'no' }))
    const app = await world.start({ limits: { storeTimeoutMs: 100 }, store: (store) => interposed(store, () => ({ complete: outage })) })
    const key = freshKey()
    const first = await app.post(key)
    assert.equal(first.status, 201)
    assert.equal(first.header('idempotency-status'), 'unrecorded')
    assertProblem(await app.post(key), 409, 'in-progress')
    await world.harness.advance(31_000)
    assertProblem(await app.post(key), 409, 'uncertain')
    assert.equal(app.runs, 1)
  },

  'R27: where the answer is withheld, the client is told to repeat under the same key': async (world) => {
    const outage = () => Promise.reject(new StoreUnavailable('the suite has cut the store off', { applied: 'no' }))
    const app = await world.start({
      policy: { onUnrecorded: 'withhold' },
      limits: { storeTimeoutMs: 100 },
      store: (store) => interposed(store, () => ({ complete: outage })),
    })
    const answer = await app.post(freshKey())
    const body = assertProblem(answer, 503, 'unrecorded')
    assert.deepEqual([body['retryable'], body['same_key'], body['safe_new_key']], [true, true, false])
    assert.match(answer.header('retry-after') ?? '', /^[1-9]\d*$/)
  },

  'R28: after effects may have started, a failure leaves doubt and not a second run': async (world) => {
    const app = await world.start({
      http: { resolution: 'https://api.example.com/resolve' },
      handler: () => Promise.reject(new Error('half done')),
    })
    const key = freshKey()
    assert.equal((await app.post(key)).status, 500)
    const body = assertProblem(await app.post(key), 409, 'uncertain')
    assert.deepEqual(
      [body['operation_state'], body['retryable'], body['safe_new_key'], body['resolution']],
      ['uncertain', false, false, 'https://api.example.com/resolve'],
    )
    assert.equal(app.runs, 1)
  },

  'R28: an owner that died before effects could start is taken over after its lease, one that began is not': async (world) => {
    for (const begins of [false, true]) {
      const gate = deferred<void>()
      const waiting = deferred<void>()
      const dead = await world.start({
        operation: { begin: 'explicit' },
        handler: async ({ begin }) => {
          if (begins) await begin()
          waiting.resolve()
          await gate.promise
          return reply(201, 'late')
        },
      })
      const next = await world.start({ operation: { begin: 'explicit' } })
      const key = freshKey()
      const first = dead.post(key)
      await waiting.promise
      assertProblem(await next.post(key), 409, 'in-progress')
      await world.harness.advance(31_000)
      if (begins) assertProblem(await next.post(key), 409, 'uncertain')
      else assert.equal((await next.post(key)).status, 201)
      assert.equal(next.runs, begins ? 0 : 1)
      gate.resolve()
      await first
    }
  },

  'R30: an owner that wakes after a takeover changes nothing, and answers with what stands': async (world) => {
    const gate = deferred<void>()
    const waiting = deferred<void>()
    const fences: bigint[] = []
    const options = { operation: { begin: 'explicit' } } as const
    const paused = await world.start({
      ...options,
      handler: async ({ fence }) => {
        fences.push(fence.seq)
        waiting.resolve()
        await gate.promise
        return reply(201, 'stale')
      },
    })
    const fresh = await world.start({
      ...options,
      handler: ({ fence }): HttpResponse => {
        fences.push(fence.seq)
        return reply(201, 'stands')
      },
    })
    const key = freshKey()
    const first = paused.post(key)
    await waiting.promise
    await world.harness.advance(31_000)
    const second = await fresh.post(key)
    assert.equal(second.body.toString('utf8'), 'stands')
    gate.resolve()
    assertReplay(second, await first)
    const [older, newer] = fences
    assert.ok(older !== undefined && newer !== undefined && older < newer, 'the newer owner has the higher fence')
  },

  'R50: a route that says so runs unprotected while the store is away': async (world) => {
    const outage = () => Promise.reject(new StoreUnavailable('the suite has cut the store off', { applied: 'no' }))
    const app = await world.start({ preset: 'telemetry', store: (store) => interposed(store, () => ({ claim: outage })) })
    assert.equal((await app.post(freshKey())).status, 201)
    assert.ok(app.events.some(({ type }) => type === 'unprotected'))
  },
}

/** What becomes of rows and record together. */
export const transactionFailureCases: HttpCases = {
  'R42: rows and answer are one commit; a failure leaves neither': async (world) => {
    const { effects } = world
    const app = await world.start({
      handler: async ({ tx, input }) => {
        await effects.add(tx, String(input))
        if (input === 'throws') throw new Error('after the row')
        if (input === 'rejects') throw reject(402, { code: 'declined' })
        return reply(input === 'fails' ? 500 : 201)
      },
    })
    for (const [input, status, replays] of [
      ['throws', 500, false],
      ['fails', 500, false],
      ['rejects', 402, true],
      ['commits', 201, true],
    ] as const) {
      const key = freshKey()
      assert.equal((await app.post(key, JSON.stringify(input))).status, status, input)
      const again = await app.post(key, JSON.stringify(input))
      assert.equal(again.status, status, input)
      assert.equal(again.header('idempotent-replayed') === 'true', replays, input)
    }
    assert.deepEqual(await effects.list(), ['commits'])
  },

  'R28: a handler that throws leaves the key free at once': async (world) => {
    const app = await world.start({ handler: () => (app.runs === 1 ? Promise.reject(new Error('once')) : reply(201)) })
    const key = freshKey()
    assert.equal((await app.post(key)).status, 500)
    assert.equal((await app.post(key)).status, 201)
    assert.equal(app.runs, 2)
  },
}
