import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { httpCases } from '../../src/testing/http-suite.ts'

const testFolder = join(import.meta.dirname, '..')
const page = readFileSync(join(testFolder, '../../../docs/http-contract.md'), 'utf8')

/** A line of the contract that a name names. */
function linesIn(name: string): string[] {
  return name.match(/\bR\d{1,2}\b/g) ?? []
}

/** The names of tests, and of what groups them, in these files. */
function namesIn(folder: string, files: RegExp): string[] {
  return readdirSync(join(testFolder, folder))
    .filter((file) => files.test(file))
    .flatMap((file) => readFileSync(join(testFolder, folder, file), 'utf8').match(/'[^'\n]*\bR\d{1,2}\b[^'\n]*'/g) ?? [])
}

/** Where each line is named by a test. */
function held(): Map<string, Set<string>> {
  const places = {
    lease: Object.keys(httpCases('lease')),
    transaction: Object.keys(httpCases('transaction')),
    client: [...namesIn('client', /\.test\.ts$/), ...namesIn('adapter', /^undici\.test\.ts$/)],
    browser: namesIn('browser', /\.test\.ts$/),
  }
  const byLine = new Map<string, Set<string>>()
  for (const [place, names] of Object.entries(places))
    for (const line of names.flatMap(linesIn)) byLine.set(line, (byLine.get(line) ?? new Set()).add(place))
  return byLine
}

interface Row {
  readonly line: string
  readonly places: readonly string[]
  readonly why: string
}

function rows(): Row[] {
  return [...page.matchAll(/^\| (R\d+) \| .+ \| (.*) \| (.*) \|$/gm)].map(([, line = '', places = '', why = '']) => ({
    line,
    places: places.split(', ').filter((place) => place !== ''),
    why: why.trim(),
  }))
}

test('the page has every line of the contract once, in order', () => {
  expect(rows().map(({ line }) => line)).toEqual(Array.from({ length: 64 }, (_, nth) => `R${nth + 1}`))
})

test('each line is named by tests exactly where the page says', () => {
  const byLine = held()
  expect([...byLine.keys()].filter((line) => !rows().some((row) => row.line === line))).toEqual([])
  for (const { line, places } of rows()) expect([...(byLine.get(line) ?? [])].sort(), line).toEqual([...places].sort())
})

test('a line that one bind does not hold says why', () => {
  for (const { line, places, why } of rows()) {
    const whole =
      ['client', 'browser'].some((place) => places.includes(place)) || (places.includes('lease') && places.includes('transaction'))
    if (!whole) expect(why, line).not.toBe('')
    expect(places.length, line).toBeGreaterThan(0)
  }
})
