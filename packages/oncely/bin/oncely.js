#!/usr/bin/env node
// The command lives in @oncely/server, so that the library alone stays small. This script finds it,
// from the project in the working directory first and from its own place second.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const places = [join(process.cwd(), 'package.json'), import.meta.url]

function findCommand() {
  for (const place of places) {
    try {
      return pathToFileURL(createRequire(place).resolve('@oncely/server/cli')).href
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND' && error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error
    }
  }
}

const command = findCommand()
if (command === undefined) {
  process.stderr.write(
    'The oncely command is part of @oncely/server, which is not installed here. Install it with:\n\n  npm install @oncely/server\n\n',
  )
  process.exitCode = 1
} else {
  await import(command)
}
