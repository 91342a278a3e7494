-- Forgets a worker that stops, and says so.
-- KEYS: the worker's hash, the index of workers, those that left.
-- ARGV: worker id, milliseconds to remember that it left, the channel of news.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[2]))
redis.call('PUBLISH', ARGV[3], 'departed')
