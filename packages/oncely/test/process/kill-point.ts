// Loaded before a program (`--import`): kills its process without warning at the n-th of its points, which are the moments before and
// after each commit of SQLite and each call by fetch. Without a number it tells how many points there were.
import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { loadDriver } from '../../src/store/sqlite/sqlite-driver.ts'

const killAt = Number(process.env['KILL_AT'] ?? 0)
let points = 0

function point(): void {
  points++
  if (points === killAt) process.kill(process.pid, 'SIGKILL')
}

const driver = loadDriver(false)
const { DatabaseSync } = driver

class PointedDatabase extends DatabaseSync {
  override prepare(sql: string): ReturnType<InstanceType<typeof DatabaseSync>['prepare']> {
    const statement = super.prepare(sql)
    if (sql !== 'COMMIT') return statement
    return {
      get: (...values) => statement.get(...values),
      all: (...values) => statement.all(...values),
      run: (...values) => {
        point()
        const result = statement.run(...values)
        point()
        return result
      },
    }
  }
}
// Whichever of the two the program's own copy of the library loads, it gets this one.
const pointed = { ...driver, DatabaseSync: PointedDatabase }
const require = createRequire(import.meta.url)
const loaded = require.cache[require.resolve('@photostructure/sqlite')]
if (loaded !== undefined) loaded.exports = pointed
const builtIn = process.getBuiltinModule
process.getBuiltinModule = ((id: string) => (id === 'node:sqlite' ? pointed : builtIn(id))) as typeof builtIn

const call = globalThis.fetch
globalThis.fetch = async (...given) => {
  point()
  try {
    return await call(...given)
  } finally {
    point()
  }
}

process.on('exit', () => {
  if (killAt === 0) writeSync(2, `points ${points}\n`)
})
