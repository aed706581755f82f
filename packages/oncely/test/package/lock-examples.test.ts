import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as examples from './lock-examples.ts'

const page = readFileSync(join(import.meta.dirname, '../../../../docs/locks.md'), 'utf8')
const compiled = readFileSync(join(import.meta.dirname, 'lock-examples.ts'), 'utf8')

test.each(['etcd', 'zookeeper', 'redlock'])('docs/locks.md shows code for %s that compiles', (engine) => {
  const block = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, code = '']) => code).find((code) => code.includes(`oncely/lock/${engine}`))
  const lines = (block ?? 'nothing').split('\n').filter((line) => line !== '')
  const known = new Set(compiled.split('\n').map((line) => line.trim()))
  expect(lines.filter((line) => !known.has(line))).toEqual([])
})

test('the example on etcd gives tokens', () => {
  expect(examples.onEtcd().capabilities).toEqual({ token: true })
  expect(Object.keys(examples).sort()).toEqual(['onEtcd', 'onRedlock', 'onZookeeper'])
})
