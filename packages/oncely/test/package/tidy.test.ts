import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const repository = join(import.meta.dirname, '../../../..')
const linesMax = 400

const sources = [...filesIn('packages/oncely/src'), ...filesIn('packages/server/src')]
const tests = [...filesIn('packages/oncely/test'), ...filesIn('packages/server/test')]
const portable = sources.filter(
  ({ path }) => path.includes('/src/core/') || (path.includes('/src/client/') && !path.endsWith('/client/platform.ts')),
)
const everything = [...sources, ...tests, ...filesIn('scripts'), ...filesIn('bench'), ...filesIn('examples')]

describe('every file', () => {
  test(`has at most ${linesMax} lines`, () => {
    const long = everything.filter(({ text }) => text.trimEnd().split('\n').length > linesMax)
    expect(long.map(({ path, text }) => `${path}: ${text.trimEnd().split('\n').length} lines`)).toEqual([])
  })

  test('is named for what it holds', () => {
    const vague = /(^|[-.])(utils?|helpers?|manager|misc|common)([-.]|$)/
    expect(everything.filter(({ path }) => vague.test(basename(path))).map(({ path }) => path)).toEqual([])
  })

  test('leaves no compiler error unseen', () => {
    expect(found(everything, new RegExp(`@ts-${'(ignore|nocheck)'}`))).toEqual([])
  })
})

describe('the portable sources', () => {
  test('take time and randomness as arguments', () => {
    expect(portable.length).toBeGreaterThan(0)
    expect(found(portable, /\b(Math\.random|Date\.now|new Date|performance\.now|crypto\.(randomUUID|getRandomValues))\b/)).toEqual([])
  })
})

describe('the tests', () => {
  test('run always and count the first time', () => {
    expect(found(tests, /\b(test|it|describe|suite)(\.\w+)*\.(only|skip|skipIf|runIf|todo|fails)\b/)).toEqual([])
    expect(found(tests, /\bretry: *[1-9]/)).toEqual([])
  })

  test('assert something in every file', () => {
    const silent = tests.filter(
      ({ path, text }) => path.endsWith('.test.ts') && !/\b(expect|expectTypeOf|assert\w*|\w+Suite)\b *[(.<]/.test(text),
    )
    expect(silent.map(({ path }) => path)).toEqual([])
  })

  test('have names that differ', () => {
    expect(tests.filter(({ path }) => path.endsWith('.test.ts')).flatMap(duplicateNames)).toEqual([])
  })
})

interface TextFile {
  readonly path: string
  readonly text: string
}

function filesIn(folder: string): TextFile[] {
  if (!existsSync(join(repository, folder))) return []
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
    .filter((path) => /\.(ts|mjs)$/.test(path) && !/\/(node_modules|dist|\.build)\//.test(path) && !path.includes('.generated.'))
    .map((path) => ({ path, text: readFileSync(join(repository, path), 'utf8') }))
}

/** Lines that match outside of comments, as `path:line`. */
function found(files: readonly TextFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) && !/^\s*(\*|\/\*|\/\/ )/.test(line) ? [`${path}:${index + 1}`] : [])),
  )
}

/** Full names (groups included) that one file gives to two tests. */
function duplicateNames({ path, text }: TextFile): string[] {
  const seen = new Set<string>()
  const twice: string[] = []
  const visit = (node: ts.Node, groups: readonly string[]): void => {
    const call = namedCall(node)
    const names = call === undefined ? groups : [...groups, call.name]
    if (call?.kind === 'test') {
      const name = names.join(' > ')
      if (seen.has(name)) twice.push(`${path}: ${name}`)
      seen.add(name)
    }
    ts.forEachChild(node, (child) => visit(child, names))
  }
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true), [])
  return twice
}

/** `test('…')`, `describe('…')` and their `.each(…)('…')` forms. */
function namedCall(node: ts.Node): { kind: 'test' | 'group'; name: string } | undefined {
  if (!ts.isCallExpression(node)) return
  const [name] = node.arguments
  if (name === undefined || !(ts.isStringLiteralLike(name) || ts.isTemplateExpression(name))) return
  const callee = /^(test|it|describe|suite)\b/.exec(node.expression.getText())?.[1]
  if (callee === undefined) return
  return { kind: callee === 'test' || callee === 'it' ? 'test' : 'group', name: name.getText() }
}
