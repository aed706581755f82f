// What servers under test need from this machine: a user to run as, a folder, a port.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chownSync, mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { root } from '../tools.mjs'

/** @typedef {{ uid?: number, gid?: number }} ServerUser */

/** Socket paths end at 107 bytes, so the folders that hold one stay short. */
const placeBytesMax = 80

/**
 * Servers that refuse to run as root run as the user that their package made.
 * @param {string} name
 * @returns {ServerUser}
 */
export function serverUser(name) {
  if (process.getuid?.() !== 0) return {}
  const uid = idOf('-u', name)
  const gid = idOf('-g', name)
  if (uid === undefined || gid === undefined) throw new Error(`running as root needs a user "${name}" for the server, and there is none`)
  return { uid, gid }
}

/** @param {string} flag @param {string} name */
function idOf(flag, name) {
  const asked = spawnSync('id', [flag, name], { encoding: 'utf8' })
  return asked.status === 0 ? Number(asked.stdout) : undefined
}

/** Folders in which servers keep their data, the checkout's own first. */
export function homes() {
  const checkout = createHash('sha256').update(root).digest('hex').slice(0, 8)
  return [join(root, '.cache/services'), join(tmpdir(), `oncely-services-${checkout}`)]
}

/**
 * A folder that the server's user can reach: in the checkout, else in the folder for temporary files.
 * @param {string} instance
 * @param {ServerUser} user
 */
export function placeFor(instance, user) {
  for (const home of homes()) {
    const place = join(home, instance)
    if (Buffer.byteLength(place) > placeBytesMax) continue
    mkdirSync(place, { recursive: true })
    if (user.uid !== undefined && user.gid !== undefined) chownSync(place, user.uid, user.gid)
    const reached = spawnSync('/bin/sh', ['-c', 'cd "$1" && touch probe && rm probe', 'sh', place], { ...user, cwd: '/' })
    if (reached.status === 0) return place
  }
  throw new Error(`the server's user cannot reach any of ${homes().join(', ')}`)
}

/** Longest wait for servers to obey one signal. */
const stopMsMax = 10_000

/**
 * Ends servers: an orderly signal first, a harder one for whoever does not obey.
 * @param {readonly import('node:child_process').ChildProcess[]} servers
 * @param {readonly NodeJS.Signals[]} signals
 */
export async function stopServers(servers, signals) {
  const isRunning = (/** @type {import('node:child_process').ChildProcess} */ { exitCode, signalCode }) =>
    exitCode === null && signalCode === null
  for (const signal of signals) {
    const left = servers.filter(isRunning)
    for (const server of left) server.kill(signal)
    const deadline = Date.now() + stopMsMax
    while (left.some(isRunning) && Date.now() < deadline) await delay(20)
  }
}

/** @param {number} port @returns {Promise<boolean>} */
export function isPortFree(port) {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}

/**
 * Whether a process runs; with `mention`, whether its command line also has that text, so that a reused number is not ours.
 * @param {number} pid
 * @param {string} [mention]
 */
export function isAlive(pid, mention) {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPERM') return false
  }
  if (mention === undefined) return true
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(mention)
  } catch {
    const listed = spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
    return listed.status === 0 && listed.stdout.includes(mention)
  }
}
