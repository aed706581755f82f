/**
 * What an owner, a resolver or an operator writes: the other events of `transition.ts`. One round trip each. Token and attempt id
 * are compared as text, digit by digit.
 */

/** ARGV 1 epoch, 2 seq, 3 attempt id, 4 lease ms, 5 begun, 6 trail ms. Reply: done | lost. */
export const renewScript = `
local record = load()
if not owned(record, ARGV[1], ARGV[2], ARGV[3]) or record.st ~= 'running' then return 'lost' end
redis.call('HSET', record_key, 'le', text(now + tonumber(ARGV[4])))
if ARGV[5] == '1' and record.bg == '0' then
  redis.call('HSET', record_key, 'bg', record.at)
  trace(record, 'begun', '', '', '', ARGV[6])
end
return 'done'
`

/** ARGV 1 epoch, 2 seq, 3 attempt id, 4 outcome, 5 trail ms. Reply: done | lost | conflict. */
export const completeScript = `
local record = load()
if not owned(record, ARGV[1], ARGV[2], ARGV[3]) then return 'lost' end
if record.st == 'running' or record.st == 'uncertain' then
  local completed = copy(record)
  completed.st, completed.ch, completed.le, completed.rs, completed.ru = 'completed', text(now), '0', '', '0'
  save(record, completed)
  store_outcome(ARGV[4])
  trace(completed, 'completed', '', '', '', ARGV[5])
  return 'done'
end
if record.st ~= 'completed' then return 'lost' end
return redis.call('GET', outcome_key) == ARGV[4] and 'done' or 'conflict'
`

/** ARGV 1 epoch, 2 seq, 3 attempt id, 4 declared, 5 reason, 6 trail ms. Reply: done | lost | begun. */
export const releaseScript = `
local record = load()
if not owned(record, ARGV[1], ARGV[2], ARGV[3]) then return 'lost' end
if record.st == 'released' then return 'done' end
if record.st ~= 'running' then return 'lost' end
if record.bg ~= '0' and (record.bg ~= record.at or ARGV[4] ~= '1') then return 'begun' end
local released = copy(record)
released.st, released.bg, released.ch, released.le = 'released', '0', text(now), '0'
save(record, released)
trace(released, 'released', '', '', ARGV[5], ARGV[6])
return 'done'
`

/** ARGV 1 epoch, 2 seq, 3 attempt id, 4 reason, 5 trail ms. Reply: done | lost. */
export const sealScript = `
local record = load()
if not owned(record, ARGV[1], ARGV[2], ARGV[3]) then return 'lost' end
if record.st == 'uncertain' then return 'done' end
if record.st ~= 'running' then return 'lost' end
local sealed = copy(record)
sealed.st, sealed.ch, sealed.rs, sealed.ru = 'uncertain', text(now), ARGV[4], '0'
save(record, sealed)
trace(sealed, 'uncertain', '', '', ARGV[4], ARGV[5])
return 'done'
`

/** ARGV 1 state, 2 epoch, 3 seq, 4 applied, 5 outcome, 6 by, 7 reason, 8 trail ms. Reply: resolved | changed | early, ms. */
export const resolveScript = `
local record = load()
if not record or record.st ~= ARGV[1] or record.ep ~= ARGV[2] or record.sq ~= ARGV[3] then return {'changed'} end
local decided = copy(record)
decided.ch, decided.le, decided.rs, decided.ru = text(now), '0', '', '0'
if ARGV[4] == '1' then
  decided.st = 'completed'
  save(record, decided)
  store_outcome(ARGV[5])
else
  local settled = tonumber(record.le) + tonumber(record.pe)
  if record.st == 'uncertain' and now < settled then return {'early', text(settled - now)} end
  if record.st == 'quarantined' then decided.at = '0' end
  decided.st, decided.bg = 'released', '0'
  save(record, decided)
end
trace(decided, decided.st, ARGV[6], '', ARGV[7], ARGV[8])
return {'resolved'}
`
