import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PlantedBug, plantedBugs } from './planted-bugs.ts'
import { PackageCopy, patchFolder, share, type Verdict } from './planted-run.ts'

const copies: PackageCopy[] = []
let verdicts: ReadonlyMap<PlantedBug, Verdict> = new Map()
let untouched: ReadonlyMap<string, Verdict> = new Map()

// Two at a time, on copies of their own; the whole takes about two minutes.
beforeAll(async () => {
  copies.push(new PackageCopy(), new PackageCopy())
  const files = [...new Set(plantedBugs.map(({ caughtBy }) => caughtBy.file))]
  untouched = await share(files, copies, (copy, file) => copy.look({ ...(plantedBugs[0] as PlantedBug), caughtBy: { file, test: '' } }))
  verdicts = await share(plantedBugs, copies, (copy, bug) => copy.plant(bug))
}, 300_000)

afterAll(() => {
  for (const copy of copies) copy.remove()
})

test.each([...new Set(plantedBugs.map(({ caughtBy }) => caughtBy.file))])('without a bug %s passes in the copy', (file) => {
  expect(untouched.get(file)).toEqual({ word: 'missed' })
})

describe('a test sees', () => {
  test.each(plantedBugs.map((bug) => [bug.name, bug] as const))('%s', (_, bug) => {
    expect(verdicts.get(bug)).toEqual({ word: 'caught' })
  })
})

describe('the list', () => {
  test('names each patch once', () => {
    const patches = readdirSync(patchFolder).map((file) => file.replace(/\.patch$/, ''))
    expect(plantedBugs.map(({ name }) => name).sort()).toEqual(patches.sort())
  })

  test('holds several ways to break each rule', () => {
    for (const { rule } of plantedBugs) expect(plantedBugs.filter((bug) => bug.rule === rule).length, rule).toBeGreaterThanOrEqual(3)
  })

  test('breaks sources, and never tests', () => {
    for (const { name } of plantedBugs) {
      const changed = [...readFileSync(join(patchFolder, `${name}.patch`), 'utf8').matchAll(/^\+\+\+ b\/(.*)$/gm)].map(([, file]) => file)
      expect(changed.length, name).toBe(1)
      expect(changed[0], name).toMatch(/^packages\/oncely\/src\/(?!testing\/)/)
    }
  })

  test('is docs/planted-bugs.md', async () => {
    await expect(page()).toMatchFileSnapshot(join(import.meta.dirname, '../../../../docs/planted-bugs.md'))
  })
})

/** Written anew by `vitest run --update`. */
function page(): string {
  const rows = plantedBugs.map(
    ({ name, rule, bug, caughtBy }) => `| \`${name}\` | ${rule} | ${bug} | \`${caughtBy.file}\`: ${caughtBy.test} |`,
  )
  return `# Planted bugs

A rule counts as tested when breaking it turns a test red. Each line is a patch in \`packages/oncely/test/planted/patches\` that breaks one
rule; the lane \`planted\` applies each to a copy of the package, runs the test that must see it, and fails when that test passes.

| patch | rule | bug | caught by |
|---|---|---|---|
${rows.join('\n')}
`
}
