import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveFetch } from './fetch-application.ts'
import { fetchSkips, guardSkips } from './suite-server.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('fetch with leases', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: serveFetch, skip: { ...fetchSkips, ...guardSkips } })
})

describe('fetch with transactions', () => {
  httpSuite({ test, bind: 'transaction', open: openSqlite, serve: serveFetch, skip: fetchSkips })
})
