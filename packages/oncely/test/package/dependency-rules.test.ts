import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

const repository = join(import.meta.dirname, '../../../..')
const { forbidden } = createRequire(import.meta.url)(join(repository, '.dependency-cruiser.cjs')) as { forbidden: { name: string }[] }

/** A clean tree: one file a folder, each importing what its layer may import. */
const clean: Record<string, string> = {
  'core/index.ts': `export type { Key } from './key.ts'\nexport { engine } from './engine.ts'\n`,
  'core/key.ts': 'export type Key = string\n',
  'core/engine.ts': `import type { Key } from './key.ts'\nexport const engine = (key: Key): Key => key\n`,
  'platform/index.ts': `import { randomBytes } from 'node:crypto'\nimport { engine } from '../core/index.ts'\nexport { engine, randomBytes }\n`,
  'index.ts': `export { engine } from './core/index.ts'\nexport { randomBytes } from './platform/index.ts'\n`,
  'http/index.ts': `import { parseItem } from 'structured-headers'\nimport { engine } from '../core/index.ts'\nexport { engine, parseItem }\n`,
  'inbox/index.ts': `export { engine } from '../core/index.ts'\n`,
  'client/index.ts': `export { engine } from '../core/index.ts'\n`,
  'client/file/index.ts': `import { open } from 'node:fs/promises'\nimport { engine } from '../index.ts'\nexport { engine, open }\n`,
  'adapter/undici/index.ts': `import type { Dispatcher } from 'undici'\nimport { engine } from '../../client/index.ts'\nexport { type Dispatcher, engine }\n`,
  'store/memory/index.ts': `export { engine } from '../../core/index.ts'\n`,
  'store/postgres/index.ts': `import type { Pool } from 'pg'\nexport type Handle = Pool\nexport { randomBytes } from '../../platform/index.ts'\n`,
  'store/sqlite/index.ts': `export const open = () => import('@photostructure/sqlite')\n`,
  'transaction/pg/index.ts': `import type { Pool } from 'pg'\nexport type Handle = Pool\n`,
  'adapter/express/index.ts': `import express from 'express'\nimport { engine } from '../../http/index.ts'\nexport { engine, express }\n`,
  'consumer/kafka/index.ts': `export { engine } from '../../inbox/index.ts'\n`,
  'testing/index.ts': `export { engine } from '../core/index.ts'\n`,
  'sim/index.ts': `export { engine } from '../testing/index.ts'\nexport { engine as other } from '../store/memory/index.ts'\n`,
}

/** One breach a rule: the rule that must report it, the file, what it imports. */
const breaches: readonly (readonly [rule: string, file: string, imported: string])[] = [
  ['no-cycles', 'core/cycle-a.ts', './cycle-b.ts'],
  ['layer-core', 'core/reaches-http.ts', '../http/index.ts'],
  ['layer-platform', 'platform/reaches-store.ts', '../store/memory/index.ts'],
  ['layer-http', 'http/past-the-door.ts', '../core/engine.ts'],
  ['layer-sql', 'sql/reaches-store.ts', '../store/mysql/index.ts'],
  ['layer-etcd', 'etcd/reaches-store.ts', '../store/memory/index.ts'],
  ['layer-store', 'store/redis/past-the-door.ts', '../../core/engine.ts'],
  ['layer-transaction', 'transaction/pg/reaches-store.ts', '../../store/postgres/index.ts'],
  ['layer-lock', 'lock/postgres/reaches-store.ts', '../../store/postgres/index.ts'],
  ['layer-inbox', 'inbox/reaches-http.ts', '../http/index.ts'],
  ['layer-outbox', 'outbox/reaches-inbox.ts', '../inbox/index.ts'],
  ['layer-step', 'step/reaches-inbox.ts', '../inbox/index.ts'],
  ['layer-region', 'region/reaches-platform.ts', '../platform/index.ts'],
  ['layer-client', 'client/reaches-http.ts', '../http/index.ts'],
  ['layer-observe', 'observe/reaches-http.ts', '../http/index.ts'],
  ['layer-adapter', 'adapter/node/reaches-store.ts', '../../store/memory/index.ts'],
  ['layer-consumer', 'consumer/nats/reaches-http.ts', '../../http/index.ts'],
  ['layer-webhook', 'webhook/reaches-adapter.ts', '../adapter/express/index.ts'],
  ['layer-schedule', 'schedule/reaches-http.ts', '../http/index.ts'],
  ['layer-testing', 'testing/reaches-adapter.ts', '../adapter/express/index.ts'],
  ['layer-sim', 'sim/reaches-vendor.ts', '../store/postgres/index.ts'],
  ['layer-unknown', 'gossip/index.ts', '../core/index.ts'],
  ['front-door', 'index.ts', './core/engine.ts'],
  ['siblings-never-meet', 'store/mysql/index.ts', '../postgres/index.ts'],
  ['siblings-never-meet', 'adapter/koa/index.ts', '../express/index.ts'],
  ['siblings-never-meet', 'transaction/knex/index.ts', '../pg/index.ts'],
  ['siblings-never-meet', 'lock/etcd/index.ts', '../redlock/index.ts'],
  ['siblings-never-meet', 'consumer/rabbitmq/index.ts', '../kafka/index.ts'],
  ['portable-folders-without-node', 'core/asks-node.ts', 'node:crypto'],
  ['portable-folders-without-node', 'client/asks-node.ts', 'node:timers'],
  ['portable-folders-without-npm', 'core/asks-npm.ts', 'structured-headers'],
  ['portable-folders-without-npm', 'client/asks-npm.ts', 'not-installed'],
  ['vendor-mysql2', 'store/postgres/names-mysql2.ts', 'mysql2'],
  ['vendor-pg', 'store/mysql/names-pg.ts', 'pg'],
  ['vendor-express', 'adapter/koa/names-express.ts', 'express'],
  ['vendor-fastify', 'adapter/koa/names-fastify.ts', 'fastify'],
  ['vendor-hono', 'adapter/koa/names-hono.ts', 'hono'],
  ['vendor-koa', 'adapter/express/names-koa.ts', 'koa'],
  ['vendor-modelcontextprotocol-sdk', 'adapter/koa/names-mcp.ts', '@modelcontextprotocol/sdk'],
  ['vendor-nestjs-common', 'adapter/koa/names-nest.ts', '@nestjs/common'],
  ['vendor-undici', 'adapter/node/names-undici.ts', 'undici'],
  ['vendor-prisma-client', 'transaction/knex/names-prisma.ts', '@prisma/client'],
  ['vendor-drizzle-orm', 'transaction/knex/names-drizzle.ts', 'drizzle-orm'],
  ['vendor-knex', 'transaction/kysely/names-knex.ts', 'knex'],
  ['vendor-kysely', 'transaction/knex/names-kysely.ts', 'kysely'],
  ['vendor-postgres', 'transaction/pg/names-postgres.ts', 'postgres'],
  ['vendor-typeorm', 'transaction/knex/names-typeorm.ts', 'typeorm'],
  ['vendor-structured-headers', 'adapter/node/parses.ts', 'structured-headers'],
  ['vendor-photostructure-sqlite', 'store/mysql/names-sqlite.ts', '@photostructure/sqlite'],
  ['vendor-unknown', 'store/redis/names-stranger.ts', 'stranger'],
  ['vendor-unknown', 'testing/names-stranger.ts', 'not-installed'],
  ['vendors-are-types', 'store/postgres/calls-pg.ts', 'pg'],
  ['vendors-are-types', 'transaction/pg/calls-pg.ts', 'pg'],
  ['server-at-the-doors', '../../server/src/past-the-door.ts', '../../oncely/src/core/engine.ts'],
  ['library-without-server', 'http/asks-server.ts', '../../../server/src/past-the-door.ts'],
  ['source-never-sees-test', 'core/asks-test.ts', '../../test/fixture.ts'],
]

const supporting: Record<string, string> = {
  'core/cycle-b.ts': `import './cycle-a.ts'\nexport const b = 1\n`,
  'lock/redlock/index.ts': 'export const lock = 1\n',
  '../test/fixture.ts': 'export const fixture = 1\n',
}

const vendors = [
  ...['pg', 'mysql2', 'postgres', 'kysely', 'drizzle-orm', 'knex', '@prisma/client', 'typeorm'],
  ...['express', 'fastify', 'hono', 'koa', 'undici', '@modelcontextprotocol/sdk', '@nestjs/common'],
  ...['structured-headers', '@photostructure/sqlite', 'stranger'],
]
const trees: string[] = []

afterAll(() => {
  for (const tree of trees) rmSync(tree, { recursive: true, force: true })
})

describe('the rules of imports', () => {
  test('a clean tree passes, and its modules are counted', () => {
    const { code, output } = check(plant(clean))
    expect(output).toContain(`${Object.keys(clean).length} modules`)
    expect(code).toBe(0)
  })

  test('a tree without sources fails', () => {
    const { code, output } = check(plant({}))
    expect(output).toContain('no packages/*/src folder')
    expect(code).toBe(1)
  })

  test('a tree in which no module is seen fails', () => {
    const { code, output } = check(plant({ 'notes.md': 'no source' }))
    expect(output).toContain('0 modules')
    expect(code).toBe(1)
  })

  test('every rule has a planted breach, and every planted breach names a rule', () => {
    const rules = forbidden.map((rule) => rule.name)
    expect(new Set(breaches.map(([rule]) => rule))).toEqual(new Set(rules))
  })

  const reported = check(plant({ ...clean, ...supporting, ...Object.fromEntries(breaches.map((breach) => [breach[1], planted(breach)])) }))

  test.each(breaches)('%s reports %s → %s', (rule, file) => {
    expect(reported.output).toContain(`${rule}: ${join('packages/oncely/src', file)} → `)
  })

  test('a tree with breaches fails', () => {
    expect(reported.code).toBe(1)
  })
})

function planted([, file, imported]: (typeof breaches)[number]): string {
  return `${clean[file] ?? ''}import '${imported}'\nexport const planted = 1\n`
}

function plant(files: Record<string, string>): string {
  const tree = mkdtempSync(join(tmpdir(), 'oncely-rules-'))
  trees.push(tree)
  for (const vendor of vendors) {
    write(join(tree, 'node_modules', vendor, 'package.json'), JSON.stringify({ name: vendor, version: '1.0.0', main: 'index.js' }))
    write(join(tree, 'node_modules', vendor, 'index.js'), 'module.exports = {}\n')
  }
  const dependencies = Object.fromEntries(vendors.map((vendor) => [vendor, '1.0.0']))
  write(join(tree, 'package.json'), JSON.stringify({ name: 'fixture', version: '1.0.0', dependencies }))
  for (const [file, text] of Object.entries(files)) write(join(tree, 'packages/oncely/src', file), text)
  return tree
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function check(tree: string): { code: number | null; output: string } {
  const run = spawnSync(process.execPath, [join(repository, 'scripts/check-dependencies.mjs'), tree], { encoding: 'utf8' })
  return { code: run.status, output: run.stdout + run.stderr }
}
