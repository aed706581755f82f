import { lockProcessSuite } from './lock-suite.ts'

const url = process.env['ONCELY_TEST_ETCD_URL']
if (url === undefined) throw new Error('ONCELY_TEST_ETCD_URL is not set: run this lane by `npm test`.')

lockProcessSuite({ kind: 'etcd', url }, 15_000)
