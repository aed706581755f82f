import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveFastify } from './fastify-application.ts'
import { parserSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('fastify with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveFastify(application, false) })
})

describe('fastify with transactions, behind its JSON parser', () => {
  httpSuite({ test, bind: 'transaction', open: openSqlite, serve: (application) => serveFastify(application, true), skip: parserSkips })
})
