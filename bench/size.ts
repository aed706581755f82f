import { existsSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type BuildOptions, build } from 'esbuild'
import type { Benchmark, Finding } from './benchmark.ts'
import { library, root } from './repository.ts'

interface Bundle {
  readonly metric: string
  readonly entryPoints: readonly string[]
  readonly platform: 'browser' | 'node'
  readonly bytesMax: number
}

const bundles: readonly Bundle[] = [
  { metric: 'oncely/client, gzipped', entryPoints: ['oncely/client'], platform: 'browser', bytesMax: 4_096 },
  {
    metric: 'core, express and postgres, gzipped',
    entryPoints: ['oncely', 'oncely/adapter/express', 'oncely/store/postgres', 'oncely/transaction/pg'],
    platform: 'node',
    bytesMax: 25 * 1_024,
  },
]

export const size: Benchmark = {
  name: 'size',
  about: 'bundles of what an application imports, minified and gzipped; no floor',
  run: async () => Promise.all(bundles.map(measure)),
}

async function measure({ metric, entryPoints, platform, bytesMax }: Bundle): Promise<Finding> {
  const missing = entryPoints.filter((entry) => !existsSync(fileOf(entry)))
  if (missing.length > 0) return { name: 'size', notRun: `${missing.join(', ')} is not built` }
  const options: BuildOptions & { write: false; metafile: true } = {
    // Everything that is exported counts: an application that imports less ships less.
    stdin: { contents: entryPoints.map((entry) => `export * from '${entry}'`).join('\n'), resolveDir: root, loader: 'js' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform,
    target: platform === 'node' ? 'node20' : 'es2022',
    external: platform === 'node' ? [...builtinModules, 'node:*', 'pg', 'express'] : [],
    write: false,
    metafile: true,
    logLevel: 'silent',
  }
  const { outputFiles, metafile } = await build(options)
  const [file] = outputFiles
  if (file === undefined) throw new Error(`esbuild wrote nothing for ${entryPoints.join(', ')}`)
  const largest = Object.values(metafile.outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .toSorted(([, one], [, other]) => other.bytesInOutput - one.bytesInOutput)
    .slice(0, 5)
    .map(([path, { bytesInOutput }]) => `${path.replace(/^.*?(dist|node_modules)\//, '')} ${bytesInOutput}`)
  return {
    name: 'size',
    metric,
    unit: 'bytes',
    ours: gzipSync(file.contents, { level: 9 }).length,
    floor: undefined,
    ratio: undefined,
    n: 1,
    bar: { of: 'ours', max: bytesMax },
    survives: '–',
    note: `${file.contents.length.toLocaleString('en')} bytes minified; largest files: ${largest.join(', ')}`,
  }
}

function fileOf(entry: string): string {
  return join(library, entry.replace(/^oncely\/?/, ''), 'index.js')
}
