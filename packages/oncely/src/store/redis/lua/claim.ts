/**
 * Claims a record: `transition.ts`, event `claim`. One round trip.
 *
 *   ARGV  1 operation  2 bind  3 principal  4 actor  5 fingerprint version  6 key id and  7 digest to store
 *         8 policy  9 retention  10 tombstone  11 attempts  12 lost lease  13 effect time-out
 *         14 lease ms  15 attempt id  16 begun  17 rerunnable  18 resolver ms  19 owner  20 trace id  21 trail ms
 *         22… key id, digest of each secret in use
 *   Reply acquired, epoch, seq, attempt, first begun, takeover, created | in-progress, ms | mismatch | unreadable, reason
 *         | replay, outcome, summary… | uncertain, may resolve, summary… | quarantined | expired, '', summary…
 */
export const claimScript = `
local given = {op = ARGV[1], bi = ARGV[2], pr = ARGV[3], ac = ARGV[4], fv = ARGV[5], fk = ARGV[6], fd = ARGV[7], pn = ARGV[8],
  pt = ARGV[9], px = ARGV[10], pa = ARGV[11], pl = ARGV[12], pe = ARGV[13], ai = ARGV[15]}
local lease_ms, begun, rerunnable, resolver_ms = tonumber(ARGV[14]), ARGV[16] == '1', ARGV[17] == '1', tonumber(ARGV[18])
local owner, trace_id, trail_ms = ARGV[19], ARGV[20], ARGV[21]

-- Never given out before while anyone may live who saw an older one: the counter of the partition, or the clock where it is
-- ahead. Another process of the server (restart, promotion, flushed memory) begins a new epoch, whatever the counter says.
local function next_token()
  local known = redis.call('HMGET', state_key, 'run', 'epoch', 'last')
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local epoch = tonumber(known[2] or '0')
  if known[1] ~= run then epoch = math.max(epoch + 1, tonumber(time[1])) end
  local seq = math.max(tonumber(known[3] or '0') + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
  redis.call('HSET', state_key, 'run', run, 'epoch', text(epoch), 'last', text(seq))
  return text(epoch), text(seq)
end

local function acquired(record, takeover)
  return {'acquired', record.ep, record.sq, record.at, record.bg, takeover and '1' or '0', record.cr}
end

-- previous: whose life goes on; stored: what the key holds, which may be a life that aged away.
local function acquire(previous, stored)
  local record = {}
  for field, value in pairs(given) do record[field] = value end
  record.st = 'running'
  record.cr = previous and previous.cr or text(now)
  record.ep, record.sq = next_token()
  record.at = text((previous and tonumber(previous.at) or 0) + 1)
  record.bg = previous and previous.bg ~= '0' and previous.bg or (begun and record.at or '0')
  record.le = text(now + lease_ms)
  record.ch, record.rs, record.ru = '0', '', '0'
  save(stored, record)
  local takeover = previous ~= nil and previous.st == 'running'
  trace(record, takeover and 'taken-over' or 'claimed', owner, trace_id, '', trail_ms)
  return acquired(record, takeover)
end

local function acquire_again(record)
  if tonumber(record.at) < tonumber(record.pa) then return acquire(record, record) end
  local quarantined = copy(record)
  quarantined.st, quarantined.ch, quarantined.le, quarantined.ru = 'quarantined', text(now), '0', '0'
  quarantined.rs = record.at .. ' attempts, the policy allows ' .. record.pa
  save(record, quarantined)
  trace(quarantined, 'quarantined', owner, trace_id, quarantined.rs, trail_ms)
  return summary('quarantined', quarantined)
end

local function answer_uncertain(record)
  local may_resolve = resolver_ms > 0 and now >= tonumber(record.ru)
  if may_resolve then redis.call('HSET', record_key, 'ru', text(now + resolver_ms)) end
  return summary('uncertain', record, may_resolve and '1' or '0')
end

local function seal_for(record, reason)
  local sealed = copy(record)
  sealed.st, sealed.ch, sealed.rs, sealed.ru = 'uncertain', text(now), reason, '0'
  save(record, sealed)
  trace(sealed, 'uncertain', owner, trace_id, reason, trail_ms)
  return answer_uncertain(sealed)
end

local function compare(record)
  if record.fv ~= given.fv then return 'fingerprint-version' end
  for index = 22, #ARGV, 2 do
    if ARGV[index] == record.fk then return ARGV[index + 1] == record.fd and 'same' or 'other' end
  end
  return 'fingerprint-secret'
end

local record = load()
if not record then return acquire(nil, nil) end
if record.st == 'completed' and age(record) == 'absent' then return acquire(nil, record) end
if record.st == 'released' then
  if record.ai == given.ai then return {'in-progress', '1'} end
  return acquire_again(record)
end
local compared = compare(record)
if compared == 'other' then return {'mismatch'} end
if compared ~= 'same' then return {'unreadable', compared} end
if record.st == 'completed' then
  if age(record) == 'fresh' then return summary('replay', record, redis.call('GET', outcome_key)) end
  drop_outcome()
  return summary('expired', record)
end
if record.st == 'running' then
  if record.bi == 'transaction' then return seal_for(record, 'the transaction was committed without completing its record') end
  if record.ai == given.ai then return acquired(record, false) end
  local left = tonumber(record.le) - now
  if left > 0 then return {'in-progress', text(left)} end
  if record.bg == '0' or rerunnable or record.pl == 'takeover' then return acquire_again(record) end
  return seal_for(record, 'the lease ended after effects may have started')
end
if record.st == 'uncertain' then
  if now - tonumber(record.ch) >= tonumber(record.px) then return summary('expired', record) end
  return answer_uncertain(record)
end
return summary('quarantined', record)
`
