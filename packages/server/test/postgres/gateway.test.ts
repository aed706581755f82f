import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { oncely } from '../command/command-line.ts'
import { BookingService } from '../gateway/booking-service.ts'
import { GatewayProcess } from '../gateway/gateway-process.ts'
import { raceOnce } from '../gateway/race.ts'

const server = process.env.ONCELY_TEST_POSTGRES_URL ?? ''

/** A store in a schema of its own, dropped when the test has passed. */
async function temporarySchema(): Promise<string> {
  const schema = `gateway_${randomUUID().slice(0, 8)}`
  const client = new pg.Client(server)
  await client.connect()
  await client.query(`create schema ${schema}`)
  onTestFinished(async ({ task }) => {
    if (task.result?.state !== 'fail') await client.query(`drop schema ${schema} cascade`)
    await client.end()
  })
  const url = new URL(server)
  url.searchParams.set('schema', schema)
  return url.href
}

test('a store that is not migrated ends with 4, and migrate or --migrate makes it', async () => {
  const service = await BookingService.start()
  const store = await temporarySchema()
  expect(oncely('doctor', '--store', store)).toMatchObject({ code: 4, err: expect.stringContaining('ONCELY_STORE_SCHEMA') })
  await expect(GatewayProcess.start(service.url, ['--store', store])).rejects.toThrow(/exit code 4.*ONCELY_STORE_SCHEMA/s)
  expect(oncely('migrate', '--store', store).code).toBe(0)
  expect(oncely('doctor', '--store', store, '--policy', 'standard').code).toBe(0)
  const other = await temporarySchema()
  const gateway = await GatewayProcess.start(service.url, ['--store', other, '--migrate'])
  expect((await gateway.book('key-1')).status).toBe(201)
})

test('100 racers over two gateways on one PostgreSQL book once, and each gets the result or 409', async () => {
  const service = await BookingService.start()
  const store = await temporarySchema()
  expect(oncely('migrate', '--store', store).code).toBe(0)
  const gateways = [
    await GatewayProcess.start(service.url, ['--store', store]),
    await GatewayProcess.start(service.url, ['--store', store]),
  ]
  await raceOnce(service, gateways)
  await gateways[0]!.kill()
  expect((await gateways[1]!.book('race')).replayed).toBe('true')
})

test('stats forecasts the growth, and the printed rights are enough for a gateway', async () => {
  const store = await temporarySchema()
  expect(oncely('migrate', '--store', store).code).toBe(0)
  const { stats, forecast } = JSON.parse(oncely('stats', '--store', store, '--days', '7', '--json').out)
  expect([stats.records, forecast.days.length, forecast.days[6].records]).toEqual([0, 7, 0])
  expect(oncely('stats', '--store', store).out).toContain('in 30 days, after 0 days of history')
  const role = `gateway_${randomUUID().slice(0, 8)}`
  const owner = new pg.Client(server)
  await owner.connect()
  await owner.query(`CREATE ROLE ${role} LOGIN`)
  await owner.query(oncely('grants', '--store', store, '--role', role).out)
  const url = new URL(store)
  url.username = role
  expect(oncely('doctor', '--store', url.href).code).toBe(0)
  expect(oncely('sweep', '--store', url.href).code).toBe(0)
  expect(oncely('hold', '--store', url.href, '--principal', 'acme', '--by', 'me', '--reason', 'none').code).not.toBe(0)
  await owner.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  await owner.end()
})
