// Builds everything that runs as JavaScript: `tsc -b` for libraries, tests, examples and benchmarks, then the small
// package.json that makes compiled tests import the sources compiled beside them instead of `dist`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { entryPoint, root, run } from './tools.mjs'

const exitCode = await run(process.execPath, [entryPoint('tsc'), '-b', ...process.argv.slice(2)])
if (exitCode !== 0) process.exit(exitCode)

const folder = join(root, 'packages/oncely')
const { name, version, type, exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const compiledExports = Object.fromEntries(
  Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath, target]) => [subpath, target.default.replace('./dist/', './src/')]),
)
mkdirSync(join(folder, '.build'), { recursive: true })
writeFileSync(
  join(folder, '.build/package.json'),
  `${JSON.stringify({ name, version, private: true, type, exports: compiledExports }, null, 2)}\n`,
)
