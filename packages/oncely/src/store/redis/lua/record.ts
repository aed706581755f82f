/**
 * What every script about one record begins with.
 *
 *   KEYS   1 record (hash)   2 outcome (string)   3 state of the partition (hash)   4 what falls due (sorted set)   5 trail (list)
 *   Locks  none: a script is one step of a server that takes them one by one. All keys carry one hash tag.
 *   Time   the server's, read once; milliseconds since 1970 as whole numbers. Plain concatenation loses digits of a number, so
 *          every number is written through %.0f.
 *
 * Fields of a record, all text: st state; op operation; bi bind; pr principal; ac actor; fv, fk, fd fingerprint's version, key id
 * and digest; pn, pt, px, pa, pl, pe policy's name, retention, tombstone, attempts, lost lease and effect time-out; cr created;
 * ep, sq token; ai attempt id; at attempt; bg first attempt that began; le lease end; ch when it was released, sealed,
 * quarantined or completed; rs reason; ru until when a resolver runs.
 */
export const recordPrelude = `
local record_key, outcome_key, state_key, due_key, trail_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local fields = {'st','op','bi','pr','ac','fv','fk','fd','pn','pt','px','pa','pl','pe','cr','ep','sq','ai','at','bg','le','ch','rs','ru'}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local id = string.match(record_key, '[^:]+$')

local function text(number)
  return string.format('%.0f', number)
end

local function load()
  local values = redis.call('HMGET', record_key, unpack(fields))
  if not values[1] then return nil end
  local record = {}
  for index, field in ipairs(fields) do record[field] = values[index] end
  return record
end

local function copy(record)
  local copied = {}
  for _, field in ipairs(fields) do copied[field] = record[field] end
  return copied
end

local function drop_outcome()
  local length = redis.call('STRLEN', outcome_key)
  if redis.call('DEL', outcome_key) == 1 then redis.call('HINCRBY', state_key, 'bytes', -length) end
end

local function age(record)
  local passed = now - tonumber(record.ch)
  if passed < tonumber(record.pt) then return 'fresh' end
  return passed < tonumber(record.px) and 'tombstone' or 'absent'
end

-- When the sweep has something to do with the record: drop its outcome, or the whole of it.
local function due_at(record)
  if record.st == 'released' then return tonumber(record.ch) + tonumber(record.px) end
  if record.st ~= 'completed' then return nil end
  return tonumber(record.ch) + tonumber(age(record) == 'fresh' and record.pt or math.max(tonumber(record.pt), tonumber(record.px)))
end

local function save(before, record)
  local pairs_ = {}
  for _, field in ipairs(fields) do
    pairs_[#pairs_ + 1] = field
    pairs_[#pairs_ + 1] = record[field]
  end
  redis.call('HSET', record_key, unpack(pairs_))
  local state = before and before.st
  if state ~= record.st then
    if state then redis.call('HINCRBY', state_key, state, -1) end
    redis.call('HINCRBY', state_key, record.st, 1)
    if state == 'completed' then drop_outcome() end
  end
  local due = due_at(record)
  if due then redis.call('ZADD', due_key, text(due), id)
  elseif state == 'completed' or state == 'released' then redis.call('ZREM', due_key, id) end
end

local function store_outcome(frame)
  redis.call('SET', outcome_key, frame)
  redis.call('HINCRBY', state_key, 'bytes', #frame)
end

local function trace(record, event, owner, trace_id, reason, trail_ms)
  redis.call('RPUSH', trail_key, cjson.encode({text(now), event, record.ep .. ':' .. record.sq, record.ai, owner, trace_id, reason}))
  redis.call('PEXPIRE', trail_key, trail_ms)
end

local function owned(record, epoch, seq, attempt_id)
  return record and record.ep == epoch and record.sq == seq and record.ai == attempt_id
end

local function summary(word, record, extra)
  local completed = record.st == 'completed' and record.ch or '0'
  local reason = (record.st == 'uncertain' or record.st == 'quarantined') and record.rs or ''
  return {word, extra or '', record.st, record.op, record.ac, record.ep, record.sq, record.ai, record.at, record.cr, completed, reason}
end
`
