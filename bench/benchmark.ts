/** What a benchmark found: one comparison, or why there is none. */
export type Finding = Figure | NotRun

/** Ours against a floor that was taken in the same run, the two alternating. */
export interface Figure {
  readonly name: string
  /** What was counted, and of what. */
  readonly metric: string
  readonly unit: string
  /** Medians of the rounds. */
  readonly ours: number
  readonly floor: number | undefined
  /** How well ours does against the floor, 1 being equal and more being better. The median of each round's own ratio. */
  readonly ratio: number | undefined
  /** The lowest and the highest round. */
  readonly ratioRange?: readonly [number, number]
  /** Rounds of each side. */
  readonly n: number
  readonly bar: Bar
  /** What the store under it survives, in the store's own word; `–` where there is no store. */
  readonly survives: string
  /** Figures beside the metric, and what a reader must know to read it. */
  readonly note: string
}

export interface NotRun {
  readonly name: string
  readonly notRun: string
}

/** What the figure is to reach. */
export type Bar =
  | { readonly of: 'ratio'; readonly min: number }
  /** Of `ours`, in the figure's unit. */
  | { readonly of: 'ours'; readonly max: number }
  /** Of `ours − floor`, in the figure's unit. */
  | { readonly of: 'extra'; readonly max: number }

export interface Settings {
  /** Ends within 20 seconds, with rounds as short as that takes. */
  readonly quick: boolean
  /** Where measured processes leave their processor profiles; undefined unless they are asked for. */
  readonly profile: string | undefined
  /** Says on stderr what is being done. */
  readonly step: (text: string) => void
}

export interface Benchmark {
  readonly name: string
  /** One line for `--help`: ours against which floor. */
  readonly about: string
  run(settings: Settings): Promise<readonly Finding[]>
}

export function isMet({ bar, ratio, ours, floor }: Figure): boolean {
  switch (bar.of) {
    case 'ratio':
      return ratio !== undefined && ratio >= bar.min
    case 'ours':
      return ours <= bar.max
    case 'extra':
      return floor !== undefined && ours - floor <= bar.max
    default:
      return bar satisfies never
  }
}

export function barText({ bar, unit }: Figure): string {
  switch (bar.of) {
    case 'ratio':
      return `ratio ≥ ${bar.min.toFixed(2)}`
    case 'ours':
      return `≤ ${bar.max.toLocaleString('en')} ${unit}`
    case 'extra':
      return `${bar.max} extra`
    default:
      return bar satisfies never
  }
}
