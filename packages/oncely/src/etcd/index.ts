export { type EtcdClient, type EtcdClientOptions, type EtcdTime, etcdClient } from './etcd-client.ts'
export {
  after,
  createdAt,
  get,
  getCreated,
  getRange,
  type KeyValue,
  type Operation,
  put,
  remove,
  removeAll,
  type Transaction,
  type TransactionAnswer,
  unchanged,
} from './etcd-message.ts'
