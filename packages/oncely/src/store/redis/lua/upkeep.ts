/** Reply: every field of the record and its outcome; nothing where there is none, or it aged away. */
export const readScript = `
local record = load()
if not record then return {} end
local outcome = ''
if record.st == 'completed' then
  local is = age(record)
  if is == 'absent' then return {} end
  if is == 'tombstone' then drop_outcome() else outcome = redis.call('GET', outcome_key) or '' end
end
local reply = {outcome}
for _, field in ipairs(fields) do reply[#reply + 1] = record[field] end
return reply
`

/** Erases the record, whatever its state; the trail stays. ARGV 1 reason, 2 trail ms. Reply: 1 | 0. */
export const forgetScript = `
local record = load()
if not record then return 0 end
drop_outcome()
redis.call('DEL', record_key)
redis.call('ZREM', due_key, id)
redis.call('HINCRBY', state_key, record.st, -1)
trace(record, 'forgotten', '', '', ARGV[1], ARGV[2])
return 1
`

/** Ages one record that fell due: drops its outcome, or the whole of it. Reply: 1 when the record went | 0. */
export const ageScript = `
local record = load()
local due = record and due_at(record)
if not due then
  redis.call('ZREM', due_key, id)
  return 0
end
if record.st == 'completed' and age(record) == 'tombstone' then drop_outcome() end
if now < due then
  redis.call('ZADD', due_key, text(due), id)
  return 0
end
drop_outcome()
redis.call('DEL', record_key)
redis.call('ZREM', due_key, id)
redis.call('HINCRBY', state_key, record.st, -1)
return 1
`

/** What fell due in a partition. KEYS 1 what falls due; ARGV 1 at most. Reply: ids of records, in hexadecimal. */
export const dueScript = `
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
`

/** Adds counts of duplicates. KEYS 1 counts (hash); ARGV 1 trail ms, then minute and reason, count of each. */
export const auditScript = `
for index = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`

/** KEYS 1 trail, 2 counts. Reply: lines of the trail, then minute and reason, count of each. */
export const trailScript = `
return {redis.call('LRANGE', KEYS[1], 0, -1), redis.call('HGETALL', KEYS[2])}
`

/** KEYS 1 state of the partition. Reply: records of each state, and the bytes of outcomes. */
export const statsScript = `
return redis.call('HMGET', KEYS[1], 'running', 'released', 'uncertain', 'quarantined', 'completed', 'bytes')
`

/** KEYS 1 instance (hash); ARGV 1 layout, 2 partitions, 3 id for an instance that is new. Reply: layout, partitions, id. */
export const instanceScript = `
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'layout', ARGV[1], 'partitions', ARGV[2], 'id', ARGV[3])
end
return redis.call('HMGET', KEYS[1], 'layout', 'partitions', 'id')
`
