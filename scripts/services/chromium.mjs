// Chromium, which the tests of the client start themselves: what they need is its place.
import { existsSync } from 'node:fs'

const usualPlaces = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** @type {import('../services.mjs').Service} */
export const chromium = {
  name: 'chromium',
  title: 'Chromium',
  variable: 'ONCELY_TEST_CHROMIUM',
  debianPackages: ['chromium'],
  find: () => usualPlaces.find(existsSync),
  processOf: () => undefined,
}
