import { httpSuite } from 'oncely/testing'
import { describe, test } from 'vitest'
import { serveExpress } from './express-application.ts'
import { openMemory, openSqlite } from './suite-stores.ts'

describe('express with leases, without a body parser', () => {
  httpSuite({ test, bind: 'lease', open: openMemory, serve: (application) => serveExpress(application, false) })
})

describe('express with transactions, behind a JSON parser', () => {
  const parserAnswers = 'the JSON parser refuses a body that is no JSON before the route is reached'
  httpSuite({
    test,
    bind: 'transaction',
    open: openSqlite,
    serve: (application) => serveExpress(application, true),
    skip: {
      'R41: what is refused before the claim is not stored and uses no key up': parserAnswers,
      'R51: keys and bodies are in no problem and no event': parserAnswers,
    },
  })
})
