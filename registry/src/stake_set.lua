-- Sets what workers have at stake on chain, and the least that one must have.
-- KEYS: the least stake, the index of standings.
-- ARGV: what keys begin with, the least stake, then for each worker: id, stake.
-- Returns how many changed.
redis.call('SET', KEYS[1], ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local changed = 0
for first = 3, #ARGV, 2 do
  local key = ARGV[1] .. 'standing:' .. ARGV[first]
  if redis.call('HGET', key, 'stake') ~= ARGV[first + 1] then
    redis.call('HSET', key, 'stake', ARGV[first + 1])
    redis.call('ZADD', KEYS[2], now, ARGV[first])
    changed = changed + 1
  end
end
return changed
