import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { barText, type Figure, type Finding, isMet } from './benchmark.ts'

/** One line of JSON for a finding. */
export function jsonLine(finding: Finding, machine: string): string {
  if ('notRun' in finding) return JSON.stringify({ ...finding, machine })
  const { name, ratio, floor, ours, unit, metric, n, survives, note, ratioRange } = finding
  return JSON.stringify({
    name,
    ratio: rounded(ratio),
    floor: rounded(floor),
    ours: rounded(ours),
    unit,
    metric,
    n,
    survives,
    bar: barText(finding),
    met: isMet(finding),
    ratioRange: ratioRange?.map(rounded) ?? null,
    note,
    machine,
  })
}

const headings = ['name', 'metric', 'ours', 'floor', 'unit', 'ratio', 'rounds', 'bar', 'met', 'survives'] as const

/** The findings as a table for a terminal, with the notes below it. */
export function textTable(findings: readonly Finding[]): string {
  const rows = [[...headings], ...findings.map(cells)]
  const widths = headings.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  )
  return [lines[0], widths.map((width) => '─'.repeat(width)).join('  '), ...lines.slice(1), '', ...notes(findings)].join('\n').trimEnd()
}

/** Where and how the findings were made. */
export interface Provenance {
  readonly command: string
  readonly machine: string
  readonly date: string
  readonly commit: string
}

const title = `# Results

Each section is what its command printed. A ratio compares ours with a floor that was taken in the same run, the two sides
alternating: 1 is equal, more is better. Absolute figures hold for the machine named and no other.
`

/** Puts the findings into the file of results, one section a name; sections of other names stay as they are. */
export function writeResults(path: string, findings: readonly Finding[], { command, machine, date, commit }: Provenance): void {
  const sections = existsSync(path) ? sectionsOf(readFileSync(path, 'utf8')) : new Map<string, string>()
  for (const name of new Set(findings.map((finding) => finding.name))) {
    const own = findings.filter((finding) => finding.name === name)
    const origin = `\`${command}\` on ${date} at ${commit}, ${machine}`
    sections.set(name, `## ${name}\n\n${origin}\n\n${markdownTable(own)}\n\n${notes(own).join('\n')}`.trimEnd())
  }
  const text = [...sections].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, section]) => section)
  writeFileSync(path, `${[title.trimEnd(), ...text].join('\n\n')}\n`)
}

function sectionsOf(text: string): Map<string, string> {
  return new Map(
    text
      .split(/^(?=## )/m)
      .slice(1)
      .map((section) => [section.slice(3, section.indexOf('\n')).trim(), section.trimEnd()]),
  )
}

function markdownTable(findings: readonly Finding[]): string {
  const rows = findings.map(cells).map((row) => `| ${row.slice(1).join(' | ')} |`)
  return [`| ${headings.slice(1).join(' | ')} |`, `|${'---|'.repeat(headings.length - 1)}`, ...rows].join('\n')
}

function notes(findings: readonly Finding[]): string[] {
  return findings.flatMap((finding) => ('notRun' in finding || finding.note === '' ? [] : [`- ${finding.metric}: ${finding.note}`]))
}

function cells(finding: Finding): string[] {
  if ('notRun' in finding) return [finding.name, `not run: ${finding.notRun}`, ...headings.slice(2).map(() => '')]
  const { name, metric, ours, floor, unit, n, survives } = finding
  return [
    name,
    metric,
    number(ours),
    number(floor),
    unit,
    ratioText(finding),
    String(n),
    barText(finding),
    isMet(finding) ? 'yes' : 'no',
    survives,
  ]
}

function ratioText({ ratio, ratioRange }: Figure): string {
  if (ratio === undefined) return '–'
  return ratioRange === undefined ? ratio.toFixed(2) : `${ratio.toFixed(2)} (${ratioRange.map((end) => end.toFixed(2)).join('–')})`
}

function number(value: number | undefined): string {
  if (value === undefined) return '–'
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 })
}

function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Number(value.toPrecision(4))
}
