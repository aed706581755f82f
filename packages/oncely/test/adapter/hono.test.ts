import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveHono } from './hono-application.ts'
import { fetchSkips, guardSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('hono with leases', () => {
  const skip = { ...fetchSkips, ...guardSkips }
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveHono(application, false), skip })
})

describe('hono with transactions, behind middleware that reads the body', () => {
  httpSuite({ test, bind: 'transaction', open: openSqlite, serve: (application) => serveHono(application, true), skip: fetchSkips })
})
