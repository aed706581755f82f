/**
 * The cache's steps. KEYS 1 outcome, 2 hint of one id, under one hash tag. An empty outcome is the mark of an erasure: it keeps
 * out what was on its way. A hint is the attempt's id (36 bytes) and its frame.
 *
 * A call can lie in a client's queue while the server is away; what arrives after its time, by the server's clock, is dropped.
 */
const inTime = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now > tonumber(ARGV[1]) then return 0 end
`

/** ARGV 1 not after, 2 keep ms, 3 frame. */
export const putOutcomeScript: string = `${inTime}
if redis.call('GET', KEYS[1]) == '' then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return 1
`

/** ARGV 1 not after, 2 keep ms, 3 attempt id, 4 frame. */
export const putHintScript: string = `${inTime}
if redis.call('GET', KEYS[1]) == '' then return 0 end
local holder = redis.call('GETRANGE', KEYS[2], 0, 35)
if holder ~= '' and holder ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[2], ARGV[3] .. ARGV[4], 'PX', ARGV[2])
return 1
`

/** ARGV 1 attempt id. */
export const removeHintScript = `
if redis.call('GETRANGE', KEYS[2], 0, 35) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
`

/** ARGV 1 how long the mark stays, in ms. */
export const eraseScript = `
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
`
