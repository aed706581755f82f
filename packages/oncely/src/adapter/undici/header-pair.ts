import type { Dispatcher } from 'undici'

type Lines = Dispatcher.DispatchOptions['headers']

/** The lines of one header, in whichever form undici takes them. */
export function keyLines(lines: Lines, header: string): [string, string][] {
  return pairs(lines).filter(([name]) => name.toLowerCase() === header.toLowerCase())
}

/** The request with the key in the place of what stood there; all other lines as they were. */
export function withKey(request: Dispatcher.DispatchOptions, header: string, key: string | null): Dispatcher.DispatchOptions {
  if (key === null) return request
  const others = pairs(request.headers).filter(([name]) => name.toLowerCase() !== header.toLowerCase())
  return { ...request, headers: [...others, [header, key]].flat() }
}

function pairs(lines: Lines): [string, string][] {
  if (lines === null || lines === undefined) return []
  if (Array.isArray(lines) && typeof lines[0] === 'string') {
    return (lines as string[]).flatMap((name, index, all): [string, string][] => (index % 2 === 0 ? [[name, all[index + 1] ?? '']] : []))
  }
  const entries = Symbol.iterator in lines ? [...(lines as Iterable<[string, string | string[] | undefined]>)] : Object.entries(lines)
  return entries.flatMap(([name, value]) => [value ?? []].flat().map((one): [string, string] => [name, one]))
}
