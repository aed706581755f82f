import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Bench } from 'tinybench'
import type * as Core from '../packages/oncely/dist/core/index.js'
import type * as Platform from '../packages/oncely/dist/platform/index.js'
import type { Benchmark, Figure, Settings } from './benchmark.ts'
import { ordersOf } from './order-document.ts'
import { library } from './repository.ts'
import { alternate, compare } from './round.ts'

interface Size {
  readonly label: string
  readonly bytes: number
  readonly documents: number
}

const sizes: readonly Size[] = [
  { label: '1 KB', bytes: 1_024, documents: 64 },
  { label: '64 KB', bytes: 65_536, documents: 4 },
]

export const fingerprint: Benchmark = {
  name: 'fingerprint',
  about: 'lossless canonical JSON and SHA-256, against JSON.parse and SHA-256 of the same bytes',
  async run(settings) {
    const figures: Figure[] = []
    for (const size of sizes) figures.push(await measure(size, settings))
    return figures
  },
}

async function measure({ label, bytes, documents }: Size, { quick, step }: Settings): Promise<Figure> {
  const { canonicalJson } = (await import(pathToFileURL(join(library, 'core/index.js')).href)) as typeof Core
  const { nodeHasher } = (await import(pathToFileURL(join(library, 'platform/index.js')).href)) as typeof Platform
  const bodies = ordersOf(bytes, documents)

  const floor = (): void => {
    for (const body of bodies) {
      JSON.parse(body.toString())
      nodeHasher.sha256(body)
    }
  }
  const ours = (): void => {
    for (const body of bodies) {
      const canonical = canonicalJson(body)
      if (!canonical.ok) throw new Error(`a document was refused: ${canonical.reason}`)
      nodeHasher.sha256(canonical.bytes)
    }
  }
  const roundMs = quick ? 400 : 1_500
  const bodiesASecond = async (run: () => void): Promise<number> => {
    const bench = new Bench({ time: roundMs, warmupTime: 100, iterations: 1 }).add(label, run)
    const [task] = await bench.run()
    const { result } = task ?? {}
    if (result?.state !== 'completed') throw new Error(`tinybench ended in state ${result?.state ?? 'none'}`)
    return (1_000 / result.latency.mean) * documents
  }
  // The compilers see both sides before either counts.
  await bodiesASecond(floor)
  await bodiesASecond(ours)
  const rounds = await alternate(quick ? 5 : 11, { floor: () => bodiesASecond(floor), ours: () => bodiesASecond(ours) }, (text) =>
    step(`${label} bodies, ${text}`),
  )
  return {
    name: 'fingerprint',
    metric: `${label} JSON bodies a second`,
    unit: '/s',
    ...compare(rounds, 'higher', (rate) => rate),
    bar: { of: 'ratio', min: 0.35 },
    survives: '–',
    note: `orders in ASCII, unsorted members, nested lines; ${documents} different ones of ${label}`,
  }
}
