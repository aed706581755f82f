import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const root = join(import.meta.dirname, '../../../..')

/** `oncely claims` as a user starts it, over a new SQLite file. Answers its URL, and how to stop it. */
async function claimsProcess(): Promise<{ url: string; stop: () => Promise<number | null> }> {
  const folder = mkdtempSync(join(tmpdir(), 'oncely-claims-'))
  const options = ['claims', '--principal', 'anonymous', '--port', '0', '--store', `sqlite:${join(folder, 'claims.db')}`]
  const child = spawn(process.execPath, ['--no-warnings', join(root, 'packages/oncely/bin/oncely.js'), ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  for (;;) {
    const url = /oncely claims: (http:\/\/[^/]+)/.exec(output)?.[1]
    if (url !== undefined) {
      const stop = async (): Promise<number | null> => {
        const exited = once(child, 'exit') as Promise<[number | null]>
        child.kill('SIGTERM')
        return (await exited)[0]
      }
      return { url, stop }
    }
    if (child.exitCode !== null) throw new Error(`it ended with exit code ${child.exitCode}: ${output}`)
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  }
}

test('a Python service charges once for each order, and is told the same again', async () => {
  const { url, stop } = await claimsProcess()
  const charge = (order: string, amount: string): Promise<{ stdout: string }> =>
    promisify(execFile)('python3', [join(root, 'examples/claims-python/charge.py'), url, order, amount])
  const first = (await charge('order-81', '1999')).stdout.trim().split('\n')
  expect(first).toEqual([
    'charged order-81 1999',
    expect.stringMatching(/^done \{"id": "pay_order-81", "amount": 1999, "key": "[0-9a-f]+"\}$/),
  ])
  const payment = first[1]?.replace(/^done /, '')
  expect((await charge('order-81', '1999')).stdout.trim()).toBe(`replayed ${payment}`)
  await expect(charge('order-81', '5')).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('refused mismatch') })
  expect((await charge('order-82', '5')).stdout).toContain('charged order-82 5')
  expect(await stop()).toBe(0)
})
