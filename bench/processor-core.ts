import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Who runs where: the measured process has a core of its own, and whoever loads it runs on another one. */
export type Place = 'measured' | 'load'

/** The command that runs `command` in its place; the command itself where the system cannot pin. */
export function pinned(place: Place, command: string, options: readonly string[]): readonly [string, readonly string[]] {
  const cores = allowedCores()
  if (cores.length < 2 || !hasTaskset()) return [command, options]
  const core = place === 'measured' ? cores[0] : cores.at(-1)
  return [pinner, ['--cpu-list', String(core), command, ...options]]
}

/** How processes are kept apart, for the note of a figure. */
export function placing(): string {
  if (allowedCores().length < 2) return 'server and load share one core'
  return hasTaskset() ? 'server and load on separate cores' : 'server and load not pinned (no taskset)'
}

/** The cores this process may use, which are not always the first ones. */
function allowedCores(): readonly number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return list.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, nth) => first + nth)
    })
  } catch {
    return Array.from({ length: availableParallelism() }, (_, nth) => nth)
  }
}

/** Part of util-linux; other systems have nothing like it. */
const pinner = 'taskset'
let found: boolean | undefined

function hasTaskset(): boolean {
  found ??= spawnSync(pinner, ['--version']).status === 0
  return found
}
