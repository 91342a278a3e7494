-- Files evidence and excludes the accused.
-- KEYS: the conviction, the stream of evidence, the index of standings.
-- ARGV: what keys begin with, milliseconds to remember the conviction, milliseconds of exclusion,
-- the evidence, the channel of news, then the accused.
-- Returns 1 if filed, 0 if the conviction was filed before.
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[2]) then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'evidence', ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for index = 6, #ARGV do
  local key = ARGV[1] .. 'standing:' .. ARGV[index]
  local convictions = redis.call('HINCRBY', key, 'convictions', 1)
  local exclusion = tonumber(ARGV[3]) * 2 ^ math.min(convictions - 1, 10)
  redis.call('HSET', key, 'right', '0', 'excluded_until_ms', string.format('%.0f', now + exclusion))
  redis.call('HSETNX', key, 'updated_ms', string.format('%.0f', now))
  redis.call('HINCRBYFLOAT', key, 'wrong', 100)
  redis.call('ZADD', KEYS[3], now, ARGV[index])
end
redis.call('PUBLISH', ARGV[5], 'convicted')
return 1
