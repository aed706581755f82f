import { lockProcessSuite } from './lock-suite.ts'

const url = process.env['ONCELY_TEST_REDIS_NODES_URL']
if (url === undefined) throw new Error('ONCELY_TEST_REDIS_NODES_URL is not set: run this lane by `npm test`.')

lockProcessSuite({ kind: 'redlock', url }, 15_000)
