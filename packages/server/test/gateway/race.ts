import { expect } from 'vitest'
import type { BookingService } from './booking-service.ts'
import type { GatewayProcess } from './gateway-process.ts'

/** 100 equal requests at once over these gateways book once, and each gets the result or 409. */
export async function raceOnce(service: BookingService, gateways: readonly GatewayProcess[]): Promise<void> {
  const answers = await Promise.all(Array.from({ length: 100 }, (_, nth) => gateways[nth % gateways.length]!.book('race')))
  expect(service.bookings.length).toBe(1)
  expect(answers.filter(({ status }) => status !== 201 && status !== 409)).toEqual([])
  const results = answers.filter(({ status }) => status === 201)
  expect(new Set(results.map(({ text }) => text))).toEqual(new Set(['{"booking":1}']))
  expect(results.filter(({ replayed }) => replayed === null).length).toBe(1)
  for (const gateway of gateways) expect((await gateway.book('race')).replayed).toBe('true')
}
