import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const folder = join(import.meta.dirname, '../..')
const repository = join(folder, '../..')
const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
  exports: Record<string, string | Record<string, string>>
  dependencies: Record<string, string>
  optionalDependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, { optional?: boolean }>
}

const families = ['store', 'transaction', 'lock', 'adapter'] as const
const members = families.flatMap((family) =>
  foldersIn(join(folder, 'src', family)).map((name) => ({ member: `${family}/${name}`, family })),
)
const tests = readdirSync(join(folder, 'test'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.ts'))
const subpaths = Object.entries(manifest.exports).filter(([subpath]) => subpath !== './package.json')

describe('the exports map', () => {
  test.each(subpaths)('%s names source, types and code of one module, in this order', (subpath, target) => {
    const module = subpath === '.' ? 'index' : `${subpath.slice(2)}/index`
    expect(Object.entries(target)).toEqual([
      ['oncely-source', `./src/${module}.ts`],
      ['types', `./dist/${module}.d.ts`],
      ['default', `./dist/${module}.js`],
    ])
  })

  test.each(subpaths.filter(([subpath]) => !subpath.includes('*')))('%s exists on disk', (subpath) => {
    expect(existsSync(join(folder, 'src', subpath, 'index.ts'))).toBe(true)
  })

  test('has a wildcard for every family, and every wildcard a member', () => {
    const wildcards = subpaths.map(([subpath]) => subpath).filter((subpath) => subpath.includes('*'))
    expect(wildcards.sort()).toEqual(families.map((family) => `./${family}/*`).sort())
    expect([...new Set(members.map(({ family }) => family))].sort()).toEqual([...families].sort())
  })
})

describe('each member of a family', () => {
  test.each(members.map(({ member }) => member))('%s has its index.ts', (member) => {
    expect(existsSync(join(folder, 'src', member, 'index.ts'))).toBe(true)
  })

  test.each(members.map(({ member }) => member))('%s has a test', (member) => {
    expect(tests.filter((file) => file.startsWith(member) && /^[-./]/.test(file.slice(member.length)))).not.toEqual([])
  })

  test.each(foldersIn(join(folder, 'src/store')))('%s, a store, has a row in docs/store-guarantees.md', (name) => {
    const guarantees = readFileSync(join(repository, 'docs/store-guarantees.md'), 'utf8')
    expect(guarantees).toMatch(new RegExp(`^\\| *[\`[]*${name}\\b`, 'im'))
  })
})

describe('the dependencies', () => {
  const declared = new Set([
    ...Object.keys(manifest.dependencies),
    ...Object.keys(manifest.optionalDependencies),
    ...Object.keys(manifest.peerDependencies),
  ])
  const imported = importedPackages()

  test('every peer is optional', () => {
    const optional = Object.keys(manifest.peerDependenciesMeta).filter((peer) => manifest.peerDependenciesMeta[peer]?.optional)
    expect(optional.sort()).toEqual(Object.keys(manifest.peerDependencies).sort())
  })

  test('what the sources import is declared', () => {
    expect([...imported].filter((name) => !declared.has(name))).toEqual([])
  })

  test('what is installed with the package is pinned to one version', () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.optionalDependencies })
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  })
})

function foldersIn(path: string): string[] {
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
}

/** Packages that the sources name in an import, types included. */
function importedPackages(): Set<string> {
  const files = readdirSync(join(folder, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const specifiers = files.flatMap((file) => {
    const text = readFileSync(join(folder, 'src', file), 'utf8').replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, '')
    return [...text.matchAll(/(?:\bfrom|\bimport\(?) *'([^']+)'/g)].map((match) => match[1] ?? '')
  })
  const packages = specifiers.filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
  return new Set(packages.map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')))
}
