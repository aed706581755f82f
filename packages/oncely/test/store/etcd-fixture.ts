import { randomBytes } from 'node:crypto'
import type { Store } from '../../src/core/index.ts'
import { type EtcdClient, getRange, put, remove, removeAll } from '../../src/etcd/index.ts'
import { etcdClient, etcdStore } from '../../src/store/etcd/index.ts'
import type { StoreHarness } from '../../src/testing/index.ts'

/** The nodes under test; without them nothing here can pass. */
export const endpoints: readonly string[] = (process.env['ONCELY_TEST_ETCD_URL'] ?? missing()).split(',')

function missing(): never {
  throw new Error('ONCELY_TEST_ETCD_URL is not set: run `npm test -- etcd`, or `npm run services start etcd` and use the URL it prints.')
}

export function newPrefix(): string {
  return `t-${randomBytes(6).toString('hex')}`
}

/** Keys of its own on a real cluster; removed after a pass and kept after a failure. */
export async function openHarness(): Promise<StoreHarness> {
  const prefix = newPrefix()
  const clients: EtcdClient[] = []
  const another = async (): Promise<Store> => {
    const client = etcdClient({ endpoints })
    clients.push(client)
    const store = etcdStore(client, { prefix })
    await store.open()
    return store
  }
  const store = await another()
  const inspector = clients[0] as EtcdClient
  return {
    store,
    reopen: another,
    // The nodes run on this machine.
    nowMs: () => Date.now(),
    advance: (ms) => setBack(inspector, prefix, ms),
    close: async (ended) => {
      if (ended === 'passed') await inspector.transact({ success: [removeAll(`${prefix}/`)] })
      for (const client of clients) client.close()
    },
  }
}

const times = ['createdAtMs', 'leaseEndMs', 'releasedAtMs', 'sealedAtMs', 'quarantinedAtMs', 'completedAtMs', 'resolverUntilMs']

/** Lets time pass for the records: their times are set back, without a new revision of what nobody changed where that is a token. */
async function setBack(client: EtcdClient, prefix: string, ms: number): Promise<void> {
  const all = async (folder: string) =>
    (await client.transact({ success: [getRange(`${prefix}/${folder}/`, `${prefix}/${folder}0`, 1_000, false)] })).found[0] ?? []
  for (const { key, value, modRevision } of await all('record')) {
    const record = JSON.parse(new TextDecoder().decode(value)) as Record<string, unknown> & { token: { seq: string } }
    for (const name of times) if (typeof record[name] === 'number' && record[name] !== 0) record[name] -= ms
    if (record.token.seq === '0') record.token.seq = String(modRevision)
    await client.transact({ success: [put(key, JSON.stringify(record))] })
  }
  for (const { key } of await all('due')) {
    const [, , at = '', hex = ''] = key.split('/')
    await client.transact({ success: [remove(key), put(`${prefix}/due/${String(Number(at) - ms).padStart(16, '0')}/${hex}`, '')] })
  }
}
