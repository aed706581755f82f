// Mutation tests of the core: `npm run mutation` (scripts/mutation.mjs), which also writes docs/mutation.md.

export default {
  mutate: ['packages/oncely/src/core/**/*.ts'],
  testRunner: 'vitest',
  vitest: { configFile: 'vitest.mutation.config.ts', related: false },
  plugins: ['@stryker-mutator/vitest-runner', './scripts/mutation-exemption.mjs'],
  ignorers: ['error-text'],
  coverageAnalysis: 'perTest',
  concurrency: 1,
  // A mutant that never ends is caught by its count of loops first; the clock is for what waits.
  timeoutMS: 5_000,
  timeoutFactor: 2,
  disableTypeChecks: false,
  // The sandbox is a copy of the repository without what is made or installed; node_modules is a link in it.
  ignorePatterns: ['.cache', '.build', 'dist', '*.tsbuildinfo'],
  tempDirName: '.cache/mutation/sandbox',
  incremental: true,
  incrementalFile: '.cache/mutation/incremental.json',
  reporters: ['progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { logTests: false, allowColor: false, reportMutants: true, reportTests: false },
  jsonReporter: { fileName: '.cache/mutation/report.json' },
  thresholds: { high: 90, low: 85, break: 85 },
}
