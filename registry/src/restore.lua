-- Gives workers the standing that they had, where there is none.
-- KEYS: the index of standings.
-- ARGV: what keys begin with, then for each worker: id, and ten names of fields with their values.
-- Returns how many were given one.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local restored = 0
for first = 2, #ARGV, 21 do
  local key = ARGV[1] .. 'standing:' .. ARGV[first]
  if redis.call('EXISTS', key) == 0 then
    for field = first + 1, first + 19, 2 do
      redis.call('HSET', key, ARGV[field], ARGV[field + 1])
    end
    redis.call('ZADD', KEYS[1], now, ARGV[first])
    restored = restored + 1
  end
end
return restored
