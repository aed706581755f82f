import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const command = join(import.meta.dirname, '../../../oncely/bin/oncely.js')

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs the command as a user does, to its end. */
export function oncely(...options: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', command, ...options], { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}
