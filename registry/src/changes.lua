-- What changed since a moment, and forgets workers whose heartbeat has expired.
-- KEYS: the index of workers, those that left, the index of standings, the least stake.
-- ARGV: what keys begin with, the moment in milliseconds by this Redis's clock.
-- Returns the clock now; id, payload, signature and time of reception of each heartbeat since; the
-- ids of those that left since; id and fields of each standing that changed since; the least stake.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local since = tonumber(ARGV[2])
if since > now then
  since = 0
end
local beats = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf')) do
  local beat = redis.call('HMGET', ARGV[1] .. 'worker:' .. id, 'payload', 'signature', 'received_at_ms')
  if beat[1] then
    table.insert(beats, { id, beat[1], beat[2], beat[3] })
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
local standings = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], since, '+inf')) do
  table.insert(standings, { id, redis.call('HGETALL', ARGV[1] .. 'standing:' .. id) })
end
local departed = redis.call('ZRANGEBYSCORE', KEYS[2], since, '+inf')
return { string.format('%.0f', now), beats, departed, standings, redis.call('GET', KEYS[4]) }
