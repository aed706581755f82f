import express from 'express'
import { capture, type NodeMiddleware } from 'oncely/adapter/node'
import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveNode } from './node-application.ts'
import { capturing, parserSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('node with leases', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveNode(application) })
})

describe('node with transactions, behind a JSON parser', () => {
  const parser = express.json({ strict: false }) as NodeMiddleware
  httpSuite({
    test,
    bind: 'transaction',
    open: openSqlite,
    serve: (application) => serveNode(application, capture(capturing(application.routes)), parser),
    skip: parserSkips,
  })
})
