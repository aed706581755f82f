export { type EtcdClient, type EtcdClientOptions, etcdClient } from '../../etcd/index.ts'
export { type EtcdLockOptions, etcdLock } from './etcd-lock.ts'
