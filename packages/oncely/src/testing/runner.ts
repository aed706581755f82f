/** A test runner's way to declare a test: `test` of vitest and of `node:test` both fit. */
export type TestRunner = (name: string, run: () => Promise<void>) => unknown

/** Cases by their names, which read `area: sentence`. */
export type Cases<Subject> = Readonly<Record<string, (subject: Subject) => Promise<void>>>

/** Cases that are left out, by name, with the reason. */
export type Skips = Readonly<Record<string, string>>

/**
 * Declares one test for each case that is not left out.
 *
 * @throws TypeError when a skip names no case or gives no reason: a list of skips never outlives what it excuses.
 */
export function declareCases<Subject>(
  test: TestRunner,
  skip: Skips,
  cases: Cases<Subject>,
  run: (body: (subject: Subject) => Promise<void>) => Promise<void>,
): void {
  for (const [name, reason] of Object.entries(skip)) {
    if (!(name in cases)) throw new TypeError(`skip names "${name}", which is no case of this suite here; remove it, or correct the name.`)
    if (reason.trim() === '') throw new TypeError(`skip of "${name}" gives no reason; write why it cannot hold here.`)
  }
  for (const [name, body] of Object.entries(cases)) {
    if (!(name in skip)) test(name, () => run(body))
  }
}
