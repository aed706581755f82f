import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, test } from 'vitest'

const entry = join(import.meta.dirname, '../../src/client/index.ts')
const bytesMax = 4_096

test('the client is at most 4 KB in a browser, minified and compressed, and needs nothing else', async () => {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  })
  const [file] = result.outputFiles
  expect(result.warnings).toEqual([])
  expect(Object.values(result.metafile.outputs).flatMap(({ imports }) => imports)).toEqual([])
  expect(Object.keys(result.metafile.inputs).every((path) => path.includes('src/client/'))).toBe(true)
  expect(gzipSync(file!.contents, { level: 9 }).length).toBeLessThanOrEqual(bytesMax)
})
