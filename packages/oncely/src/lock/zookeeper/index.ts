export type { ZookeeperClient, ZookeeperError, ZookeeperStat } from './zookeeper-client.ts'
export { type ZookeeperLockOptions, zookeeperLock } from './zookeeper-lock.ts'
