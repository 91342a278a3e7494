-- Keeps an API key in place of what it was, with the entry in the administrative log.
-- KEYS: the keys, the index of changes, the log.
-- ARGV: the name, what it was as JSON (empty for a new one), what it is, the act, the channel of news.
-- Returns 1 if kept, 0 if it is not what it was.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
  return 0
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[1])
redis.call('XADD', KEYS[3], '*', 'act', ARGV[4])
redis.call('PUBLISH', ARGV[5], 'key')
return 1
