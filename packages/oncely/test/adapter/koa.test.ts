import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveKoa } from './koa-application.ts'
import { parserSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('koa with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveKoa(application, false) })
})

describe('koa with transactions, behind a JSON parser', () => {
  httpSuite({ test, bind: 'transaction', open: openSqlite, serve: (application) => serveKoa(application, true), skip: parserSkips })
})
