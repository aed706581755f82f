import express4 from 'express4'
import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveExpress } from './express-application.ts'
import { parserSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('express with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveExpress(application, false) })
})

describe('express with transactions, behind a JSON parser', () => {
  httpSuite({
    test,
    bind: 'transaction',
    open: openSqlite,
    serve: (application) => serveExpress(application, true),
    skip: parserSkips,
  })
})

describe('express 4 with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveExpress(application, false, express4) })
})

describe('express 4 with transactions, behind a JSON parser', () => {
  httpSuite({
    test,
    bind: 'transaction',
    open: openSqlite,
    serve: (application) => serveExpress(application, true, express4),
    skip: {
      ...parserSkips,
      'R26: a compressed and a plain retry are the same request': 'the JSON parser of Express 4 takes no Brotli',
    },
  })
})
