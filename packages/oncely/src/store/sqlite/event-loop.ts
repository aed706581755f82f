import { setImmediate } from 'node:timers/promises'

/**
 * The next turn of the event loop, begun with no promise reaction of anybody else waiting. It is not time: no clock moves it, and
 * a simulated clock does not hold it up.
 */
export async function nextTurn(): Promise<void> {
  await setImmediate()
}
