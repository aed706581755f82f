import type { StorageUsage } from './store.ts'

/** What the store will hold on one day to come. */
export interface ForecastDay {
  readonly atMs: number
  readonly records: number
  readonly outcomes: number
  readonly trailLines: number
  readonly bytes: number
}

/** How the store will grow, and what that is made of. */
export interface Forecast {
  /** One entry for each day to come, the last one first asked for last. */
  readonly days: readonly ForecastDay[]
  /** New records a day, as the fitted line says for today, and by how many it rises each day. */
  readonly recordsPerDay: number
  readonly risePerDay: number
  /** Whole days of history behind it; fewer than 14 know nothing of the week. */
  readonly historyDays: number
  readonly bytesPerRecord: number
  readonly bytesPerOutcome: number
  readonly bytesPerTrailLine: number
}

const dayMs = 86_400_000
const weekDays = 7

/**
 * How much a store will hold in `days` days if the past goes on: a straight line through the completions of each day, times the
 * share of each day of the week once two weeks are known. Each policy's records live as long as it says, so what ages away is
 * counted as well; sizes are those of today's tables for each row, with their indexes and free space.
 */
export function forecastGrowth(usage: StorageUsage, days: number): Forecast {
  const today = Math.floor(usage.atMs / dayMs)
  const known = history(usage, today)
  const line = lineThrough(known)
  const factors = weekFactors(known, line)
  const created = (day: number): number =>
    day < today ? (known.get(day) ?? 0) : Math.max(0, (line.base + line.rise * day) * (factors[day % weekDays] as number))
  const total = usage.policies.reduce((sum, { completedRecently }) => sum + completedRecently, 0)
  /** What was made in the last `lifeDays` before the end of `day`; the oldest day counts in part. */
  const living = (day: number, lifeDays: number): number => {
    let sum = 0
    const whole = Math.floor(lifeDays)
    for (let back = 0; back < whole; back++) sum += created(day - back)
    return sum + (lifeDays - whole) * created(day - whole)
  }
  const bytes = perRow(usage)
  const on = (ahead: number): ForecastDay => {
    // Until the same time of day: the day that has begun has made a part of its records.
    const part = usage.atMs / dayMs - today
    const at = (lifeDays: number): number => part * living(today + ahead, lifeDays) + (1 - part) * living(today + ahead - 1, lifeDays)
    let [records, outcomes] = [0, 0]
    for (const { retentionMs, tombstoneMs, completedRecently } of usage.policies) {
      const share = total === 0 ? 0 : completedRecently / total
      records += share * at(Math.max(retentionMs, tombstoneMs) / dayMs)
      // An outcome goes with the whole day on which it may be forgotten, so those of the day that has begun are all there.
      outcomes += share * at(retentionMs / dayMs + part)
    }
    const trailLines = usage.linesPerRecord * at(usage.trailMs / dayMs)
    const size = records * bytes.record + outcomes * bytes.outcome + trailLines * bytes.line
    return {
      atMs: usage.atMs + ahead * dayMs,
      records: Math.round(records),
      outcomes: Math.round(outcomes),
      trailLines: Math.round(trailLines),
      bytes: Math.round(size),
    }
  }
  return {
    days: Array.from({ length: days }, (_, index) => on(index + 1)),
    recordsPerDay: Math.max(0, line.base + line.rise * today),
    risePerDay: line.rise,
    historyDays: known.size,
    bytesPerRecord: bytes.record,
    bytesPerOutcome: bytes.outcome,
    bytesPerTrailLine: bytes.line,
  }
}

/** Completions of whole days; the first day that is known and today are parts of days. Days without any in between count as none. */
function history(usage: StorageUsage, today: number): ReadonlyMap<number, number> {
  const counts = new Map(usage.completions.map(({ day, count }) => [day, count]))
  const first = Math.min(today, ...counts.keys()) + 1
  const known = new Map<number, number>()
  for (let day = first; day < today; day++) known.set(day, counts.get(day) ?? 0)
  return known
}

interface Line {
  readonly base: number
  readonly rise: number
}

/** The least-squares line through the means of whole weeks, which no day of the week can tilt; flat before two weeks are known. */
function lineThrough(known: ReadonlyMap<number, number>): Line {
  const days = wholeWeeks(known)
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  const made = mean(days.map(([, count]) => count))
  if (days.length < 2 * weekDays) return { base: made, rise: 0 }
  const weeks = Array.from({ length: days.length / weekDays }, (_, week) => days.slice(week * weekDays, (week + 1) * weekDays))
  const points = weeks.map((week) => [mean(week.map(([day]) => day)), mean(week.map(([, count]) => count))] as const)
  const middle = mean(points.map(([day]) => day))
  const spread = points.reduce((sum, [day]) => sum + (day - middle) ** 2, 0)
  const rise = points.reduce((sum, [day, count]) => sum + (day - middle) * (count - made), 0) / spread
  return { base: made - rise * middle, rise }
}

/** The newest whole weeks, so that no day of the week weighs more than another; all of it where there is no whole week. */
function wholeWeeks(known: ReadonlyMap<number, number>): readonly (readonly [day: number, made: number])[] {
  const days = [...known]
  return days.length < weekDays ? days : days.slice(days.length % weekDays)
}

/** How busy each day of the week is against the line; all 1 before two weeks are known. */
function weekFactors(known: ReadonlyMap<number, number>, line: Line): readonly number[] {
  const days = wholeWeeks(known)
  if (days.length < 2 * weekDays) return Array<number>(weekDays).fill(1)
  return Array.from({ length: weekDays }, (_, weekDay) => {
    const same = days.filter(([day]) => day % weekDays === weekDay)
    const expected = same.reduce((sum, [day]) => sum + line.base + line.rise * day, 0)
    return expected <= 0 ? 1 : same.reduce((sum, [, made]) => sum + made, 0) / expected
  })
}

function perRow({ records, outcomes, trail }: StorageUsage): { readonly record: number; readonly outcome: number; readonly line: number } {
  const per = ({ rows, bytes }: { readonly rows: number; readonly bytes: number }): number => (rows === 0 ? 0 : bytes / rows)
  return { record: per(records), outcome: per(outcomes), line: per(trail) }
}
