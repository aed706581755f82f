export { type EtcdClient, type EtcdClientOptions, etcdClient } from '../../etcd/index.ts'
export { type EtcdStoreOptions, etcdStore } from './etcd-store.ts'
