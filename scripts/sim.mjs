// `npm run sim`: lives through seeds of the deterministic simulation and prints each failing one with the command that repeats it.
//
//   npm run sim -- --seeds 1000              seeds 1 to 1000
//   npm run sim -- --seed 42 --trace         one seed, with all that happened
//   npm run sim -- --seed 42 --seeds 10      seeds 42 to 51
//   npm run sim -- --bug unfenced            with a planted mistake of the store, which must be found
import { parseArgs } from 'node:util'
import { plantedBugs, simulate } from '../packages/oncely/dist/sim/index.js'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    bug: { type: 'string' },
  },
})
const first = values.seed === undefined ? 1 : wholeNumber('seed', values.seed)
const count = values.seeds === undefined ? (values.seed === undefined ? 100 : 1) : wholeNumber('seeds', values.seeds)
const bug = plantedBugs.find((name) => name === values.bug)
if (values.bug !== undefined && bug === undefined) fail(`--bug ${values.bug} is unknown; it is one of ${plantedBugs.join(', ')}`)

const begun = performance.now()
/** @type {Map<string, number>} */
const faults = new Map()
/** @type {Map<string, number>} */
const words = new Map()
let virtualMs = 0
let failed = 0
for (let seed = first; seed < first + count; seed++) {
  const report = await simulate({ seed, trace: values.trace, ...(bug === undefined ? {} : { bug }) })
  for (const line of report.trace) console.log(line)
  for (const [kind, times] of report.faults) faults.set(kind, (faults.get(kind) ?? 0) + times)
  for (const [word, times] of report.words) words.set(word, (words.get(word) ?? 0) + times)
  virtualMs += report.virtualMs
  if (report.violations.length === 0) continue
  failed++
  console.log(`seed ${seed} (${report.mode}) broke ${report.violations.length} promises:`)
  for (const violation of report.violations.slice(0, 10)) console.log(`  ${violation}`)
  console.log(`  repeat it: npm run sim -- --seed ${seed} --trace${bug === undefined ? '' : ` --bug ${bug}`}`)
}

const seconds = (performance.now() - begun) / 1_000
console.log(`faults: ${counted(faults)}`)
console.log(`answers: ${counted(words)}`)
console.log(`${count} seeds, ${failed} failed, ${seconds.toFixed(1)} s, ${(virtualMs / 3_600_000).toFixed(1)} virtual hours`)
process.exitCode = failed === 0 ? 0 : 1

/** @param {Map<string, number>} counts */
function counted(counts) {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, times]) => `${name} ${times}`)
    .join(', ')
}

/** @param {string} name @param {string} text @returns {number} */
function wholeNumber(name, text) {
  if (!/^\d{1,9}$/.test(text)) fail(`--${name} ${text} is not a whole number from 0 to 999999999`)
  return Number(text)
}

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(message)
  process.exit(2)
}
