/**
 * The steps of a caller's budget. KEYS 1 the number of new keys in this window, 2 the running claims by the end of their place,
 * both under one hash tag and gone by themselves. Time is the server's.
 */

/** ARGV 1 claim, 2 new keys max, 3 window ms, 4 running max, 5 held ms. Answers {1, 0}, or {0, ms until it is worth asking again}. */
export const takeScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return {0, 1000} end
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[2]) then return {0, math.max(1, redis.call('PTTL', KEYS[1]))} end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[5]), ARGV[1])
redis.call('PEXPIRE', KEYS[2], math.max(tonumber(ARGV[5]), redis.call('PTTL', KEYS[2])))
return {1, 0}
`

/** ARGV 1 claim, 2 whether it used a new key. A window that has ended meanwhile is not opened again. */
export const giveBackScript = `
local held = redis.call('ZREM', KEYS[2], ARGV[1])
if held == 1 and ARGV[2] == '0' and tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end
return held
`
