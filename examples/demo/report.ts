import type { Audit, Effect } from './ledger.ts'
import type { RunResult } from './run.ts'

const effects: readonly Effect[] = ['payments', 'charges']

/** What is wrong with a run, one line each; nothing when the ledger is right. */
export function complaints({ audits, customers }: RunResult): string[] {
  const lines: string[] = []
  for (const effect of effects) {
    const { asked, answered, duplicates, missing, wrong, wrongAnswers } = audits[effect]
    if (duplicates > 0) lines.push(`${effect}: ${duplicates} booked more than once`)
    if (missing > 0) lines.push(`${effect}: ${missing} never booked`)
    if (wrong > 0) lines.push(`${effect}: ${wrong} bookings that nobody asked for`)
    if (wrongAnswers > 0) lines.push(`${effect}: ${wrongAnswers} customers were told of a booking that is not theirs`)
    if (answered < asked) lines.push(`${effect}: ${asked - answered} customers got no booking`)
  }
  return [...lines, ...customers.refusals.slice(0, 5)]
}

/** The two runs side by side. */
export function table(without: RunResult, protectedRun: RunResult): string {
  const rows: (readonly [string, (run: RunResult) => string | number] | undefined)[] = [
    ['payments asked for', total('asked')],
    ['HTTP attempts by customers', ({ customers }) => customers.attempts],
    ['  answered with a replay', ({ customers }) => customers.replayed],
    ['  answered "not known yet"', ({ customers }) => customers.uncertain],
    ['requests repeated on the way', ({ faults }) => faults['repeated-at-once'] + faults['repeated-later']],
    ['answers dropped', ({ faults }) => faults['answer-dropped']],
    ['connections reset', ({ faults }) => faults['reset-before'] + faults['reset-during']],
    ['API killed (SIGKILL)', ({ kills }) => kills],
    undefined,
    ['charges booked', total('booked')],
    ['duplicates', total('duplicates')],
    ["  in the API's own database", ({ audits }) => audits.payments.duplicates],
    ['  at the payment provider', ({ audits }) => audits.charges.duplicates],
    ['payments missing', total('missing')],
    ['money off', (run) => euros(total('centsOff')(run))],
    ['seconds', ({ seconds }) => seconds.toFixed(1)],
  ]
  const lines = rows.map((row) =>
    row === undefined ? '' : row[0].padEnd(30) + [without, protectedRun].map((run) => String(row[1](run)).padStart(16)).join(''),
  )
  return [''.padEnd(30) + 'without oncely'.padStart(16) + 'with oncely'.padStart(16), ...lines].join('\n')
}

function total(name: keyof Audit): (run: RunResult) => number {
  return ({ audits }) => effects.reduce((sum, effect) => sum + audits[effect][name], 0)
}

function euros(cents: number): string {
  return `${(cents / 100).toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })} EUR`
}
