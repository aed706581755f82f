import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import base from './vitest.config.ts'

// The tests that judge mutants of the core. Mutants live in a copy of the repository whose node_modules is a link to the
// original's, so the package's own name is pointed at the sources beside this file.
const sources = join(import.meta.dirname, 'packages/oncely/src')

export default defineConfig({
  ...base,
  resolve: {
    ...base.resolve,
    alias: [
      { find: /^oncely$/, replacement: `${sources}/index.ts` },
      { find: /^oncely\/(.+)$/, replacement: `${sources}/$1/index.ts` },
    ],
  },
  test: {
    ...base.test,
    include: ['packages/oncely/test/core/**/*.test.ts', 'packages/oncely/test/store/memory.test.ts'],
    testTimeout: 8_000,
    isolate: false,
    runner: join(import.meta.dirname, 'scripts/mutation-runner.mjs'),
  },
})
