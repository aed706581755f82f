// The directions of ARCHITECTURE.md as rules. Paths are relative to the repository root;
// packages/oncely/test/package/dependency-rules.test.ts plants a breach of every rule and sees it reported.

const source = '^packages/oncely/src/'

/** What each layer may import besides itself, and only through the `index.ts` of what is named. */
const layers = {
  core: [],
  platform: ['core'],
  http: ['core'],
  sql: ['core', 'platform'],
  etcd: ['core', 'platform'],
  store: ['core', 'platform', 'sql', 'etcd'],
  transaction: ['core', 'sql'],
  lock: ['core', 'platform', 'etcd'],
  inbox: ['core'],
  outbox: ['core', 'platform'],
  step: ['core'],
  region: ['core'],
  client: ['core'],
  observe: ['core'],
  adapter: ['core', 'http', 'client'],
  consumer: ['core', 'inbox'],
  webhook: ['core', 'http'],
  schedule: ['core'],
  testing: ['core', 'platform', 'http', 'inbox', 'outbox', 'step', 'lock'],
  sim: ['core', 'platform', 'http', 'inbox', 'outbox', 'step', 'region', 'testing', 'store/memory'],
}

/** Layers of independent siblings: one folder never sees the next. */
const families = 'store|transaction|adapter|lock|consumer'

/** The folders in which an npm package may be named, types included. */
const vendorHomes = {
  '@modelcontextprotocol/sdk': 'adapter/mcp',
  '@nestjs/common': 'adapter/nest',
  '@photostructure/sqlite': 'store/sqlite',
  '@prisma/client': 'transaction/prisma',
  'drizzle-orm': 'transaction/drizzle',
  express: 'adapter/express',
  fastify: 'adapter/fastify',
  hono: 'adapter/hono',
  knex: 'transaction/knex',
  koa: 'adapter/koa',
  mysql2: 'store/mysql|transaction/mysql2',
  kysely: 'transaction/kysely',
  pg: 'store/postgres|transaction/pg|lock/postgres',
  postgres: 'transaction/postgres-js|transaction/drizzle',
  'structured-headers': 'http',
  undici: 'adapter/undici',
  typeorm: 'transaction/typeorm',
}

const npmTypes = ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-bundled', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined']
const escaped = (name) => name.replaceAll(/[.]/g, '\\.')
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

const layerRules = Object.entries(layers).map(([layer, below]) =>
  rule(
    `layer-${layer}`,
    `${layer} may import ${below.length === 0 ? 'nothing but itself' : `only ${below.join(', ')}, each through its index.ts`}.`,
    { path: `${source}${layer}/` },
    { path: source, pathNot: [`${source}${layer}/`, ...below.map((name) => `${source}${name}/index\\.ts$`)] },
  ),
)

const vendorRules = Object.entries(vendorHomes).map(([vendor, homes]) =>
  rule(
    `vendor-${vendor.replaceAll(/[@/]/g, '-').replace(/^-/, '')}`,
    `${vendor} is named only in ${homes.replaceAll('|', ', ')}.`,
    { path: source, pathNot: `${source}(${homes})/` },
    { path: `(^|/)node_modules/(@types/)?${escaped(vendor)}/` },
  ),
)

const allowedVendors = `(^|/)node_modules/(@types/)?(${Object.keys(vendorHomes).map(escaped).join('|')})/`

module.exports = {
  forbidden: [
    rule('no-cycles', 'Two files that need each other are one file, or miss a third.', { path: '^packages/' }, { circular: true }),
    ...layerRules,
    rule(
      'layer-unknown',
      'A new folder of src/ needs a line in the table of layers first.',
      { path: `${source}[^/]+/`, pathNot: `${source}(${Object.keys(layers).join('|')})/` },
      {},
    ),
    rule(
      'front-door',
      'src/index.ts names what core, platform and step export, loads the relay when one is started, and nothing else.',
      { path: `${source}index\\.ts$` },
      { path: source, pathNot: `${source}(core|platform|outbox|step)/index\\.ts$` },
    ),
    rule(
      'siblings-never-meet',
      'Stores, transactions, adapters, locks and consumers do not know each other.',
      { path: `${source}(${families})/([^/]+)/` },
      { path: `${source}$1/`, pathNot: `${source}$1/$2/` },
    ),
    rule(
      'portable-folders-without-node',
      'core and client run in browsers and at the edge; client/file is an entry of its own, for Node.',
      { path: `${source}(core|client)/`, pathNot: `${source}client/file/` },
      { dependencyTypes: ['core'] },
    ),
    rule(
      'portable-folders-without-npm',
      'core and client have no dependencies.',
      { path: `${source}(core|client)/` },
      { dependencyTypes: npmTypes },
    ),
    ...vendorRules,
    rule(
      'vendor-unknown',
      'A package gets a home in the table of vendors before it is imported.',
      { path: source },
      { dependencyTypes: npmTypes, pathNot: [allowedVendors, '^node:'] },
    ),
    rule(
      'vendors-are-types',
      'Users hand in their client, so stores, transactions and locks import types only (@photostructure/sqlite stands in for node:sqlite).',
      { path: `${source}(store|transaction|lock)/` },
      { dependencyTypes: npmTypes, dependencyTypesNot: ['type-only'], pathNot: ['(^|/)node_modules/@photostructure/sqlite/', '^node:'] },
    ),
    rule(
      'server-at-the-doors',
      "The server is a user of the library: it imports what the library's exports name.",
      { path: '^packages/server/src/' },
      {
        path: '^packages/oncely/',
        pathNot:
          '^packages/oncely/(src|dist)/(index|(http|client|testing|sim|(store|transaction|lock|adapter)/[^/]+)/index)[.](ts|js|d[.]ts)$',
      },
    ),
    rule('library-without-server', 'The library does not know the server.', { path: source }, { path: '^packages/server/' }),
    rule('source-never-sees-test', 'Published code does not import tests.', { path: '^packages/[^/]+/src/' }, { path: '/test/' }),
  ],
  options: {
    doNotFollow: { path: ['(^|/)node_modules/', '/dist/', '/test/'] },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['oncely-source', 'import', 'node', 'types', 'default'],
      extensions: ['.ts', '.js', '.d.ts'],
    },
  },
}
