import { defineConfig } from 'vitest/config'

// `oncely-source` first: tests read the sources, so no build stands between an edit and its test.
const conditions = ['oncely-source', 'module', 'node', 'development|production']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ['oncely-source', 'node'] } },
  test: {
    include: ['packages/*/test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/.build/**', '**/dist/**'],
    globals: false,
    retry: 0,
    allowOnly: false,
    passWithNoTests: false,
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    coverage: {
      provider: 'v8',
      reportsDirectory: '.cache/coverage',
      include: ['packages/oncely/src/core/**/*.ts', 'packages/oncely/src/http/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
      thresholds: {
        'packages/oncely/src/core/**': { branches: 95 },
        'packages/oncely/src/http/**': { branches: 95 },
      },
    },
  },
})
