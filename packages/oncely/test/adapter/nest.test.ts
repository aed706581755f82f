import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveNest } from './nest-application.ts'
import { parserSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('nest on express with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveNest(application, 'express', false) })
})

describe('nest on express with transactions, behind a JSON parser', () => {
  httpSuite({
    test,
    bind: 'transaction',
    open: openSqlite,
    serve: (application) => serveNest(application, 'express', true),
    skip: parserSkips,
  })
})

describe('nest on fastify with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveNest(application, 'fastify', false) })
})

describe('nest on fastify with transactions, behind a JSON parser', () => {
  httpSuite({
    test,
    bind: 'transaction',
    open: openSqlite,
    serve: (application) => serveNest(application, 'fastify', true),
    skip: {
      ...parserSkips,
      'R26: a compressed and a plain retry are the same request': 'Fastify’s JSON parser takes no compressed bodies',
    },
  })
})
