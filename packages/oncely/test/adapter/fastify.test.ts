import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveFastify } from './fastify-application.ts'
import { parserSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('fastify with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveFastify(application, false) })
})

describe('fastify with transactions, behind its JSON parser', () => {
  const skip = {
    ...parserSkips,
    'R26: a compressed and a plain retry are the same request': 'Fastify’s JSON parser takes no compressed bodies',
  }
  httpSuite({ test, bind: 'transaction', open: openSqlite, serve: (application) => serveFastify(application, true), skip })
})
