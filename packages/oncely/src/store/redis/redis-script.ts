import { createHash } from 'node:crypto'
import type { RedisArgument, RedisLink, RedisReply } from './redis-client.ts'
import { replyCode } from './redis-error.ts'

/** A script that the server runs as one atomic step, known to it by the digest of its text. */
export interface RedisScript {
  readonly text: string
  readonly sha: string
}

export function redisScript(...parts: readonly string[]): RedisScript {
  const text = parts.map((part) => part.trim()).join('\n')
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** One round trip. */
export async function runScript(
  link: RedisLink,
  script: RedisScript,
  keys: readonly string[],
  args: readonly RedisArgument[],
): Promise<RedisReply> {
  return known(script, (command, name) => link.call(keys[0] ?? '', command, [name, String(keys.length), ...keys, ...args]))
}

/** A server that forgot the script (restart, flush, failover) is told its text once more. */
export async function known<T>(script: RedisScript, call: (command: 'EVALSHA' | 'EVAL', name: string) => Promise<T>): Promise<T> {
  try {
    return await call('EVALSHA', script.sha)
  } catch (error) {
    if (replyCode(error) !== 'NOSCRIPT') throw error
    return call('EVAL', script.text)
  }
}
