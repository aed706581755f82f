import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveLambda } from './lambda-application.ts'
import { guardSkips, httpApiSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('lambda with leases, behind a REST API', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveLambda(application, '1.0'), skip: guardSkips })
})

describe('lambda with transactions, behind an HTTP API', () => {
  httpSuite({ test, bind: 'transaction', open: openSqlite, serve: (application) => serveLambda(application, '2.0'), skip: httpApiSkips })
})
