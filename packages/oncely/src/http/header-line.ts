/** One header field line: a name and its value, never split at commas and never joined with another line. */
export type HeaderLine = readonly [name: string, value: string]

/** The values of one field, line by line, out of names and values in turn (Node's `rawHeaders`). `name` is in lower case. */
export function headerValues(headers: readonly string[], name: string): readonly string[] {
  let values: string[] | undefined
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const candidate = headers[at] as string
    if (candidate.length !== name.length || (candidate !== name && candidate.toLowerCase() !== name)) continue
    values ??= []
    values.push(headers[at + 1] as string)
  }
  return values ?? none
}

const none: readonly string[] = []

/** The first line of a field in lower-case lines, if there is one. */
export function firstValue(lines: readonly HeaderLine[], name: string): string | undefined {
  return lines.find(([candidate]) => candidate === name)?.[1]
}
