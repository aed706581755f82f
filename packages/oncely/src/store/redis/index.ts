export { type RedisBudgetOptions, redisBudget } from './redis-budget.ts'
export { type RedisCacheOptions, redisCache } from './redis-cache.ts'
export type {
  IoredisClient,
  IoredisCluster,
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisSentinel,
  RedisClient,
} from './redis-client.ts'
export { type RedisStoreOptions, redisStore } from './redis-store.ts'
