/** Ours and the floor, each measured once a round. */
export interface Sides<Sample> {
  readonly floor: () => Promise<Sample>
  readonly ours: () => Promise<Sample>
}

export interface Rounds<Sample> {
  readonly floor: readonly Sample[]
  readonly ours: readonly Sample[]
}

/**
 * Measures floor, ours, floor, ours, … so that what else the machine does falls on both sides alike.
 */
export async function alternate<Sample>(
  rounds: number,
  sides: Sides<Sample>,
  step: (text: string) => void = () => {},
): Promise<Rounds<Sample>> {
  const taken = { floor: [] as Sample[], ours: [] as Sample[] }
  for (let round = 1; round <= rounds; round++) {
    for (const side of ['floor', 'ours'] as const) {
      step(`round ${round} of ${rounds}, ${side}`)
      taken[side].push(await sides[side]())
    }
  }
  return taken
}

export interface Comparison {
  readonly ours: number
  readonly floor: number
  readonly ratio: number
  readonly ratioRange: readonly [number, number]
  readonly n: number
}

/**
 * Medians of both sides, and the median of the ratios of each round to its own neighbour: a machine that gets slower on the way
 * does not move it. `better` says which way is up, so that a ratio above 1 is always ours being better.
 */
export function compare<Sample>(rounds: Rounds<Sample>, better: 'higher' | 'lower', read: (sample: Sample) => number): Comparison {
  const ours = rounds.ours.map(read)
  const floor = rounds.floor.map(read)
  const ratios = ours.map((value, round) => {
    const beside = floor[round] as number
    return better === 'higher' ? value / beside : beside / value
  })
  return {
    ours: median(ours),
    floor: median(floor),
    ratio: median(ratios),
    ratioRange: [Math.min(...ratios), Math.max(...ratios)],
    n: ratios.length,
  }
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of no values')
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
