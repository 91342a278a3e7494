-- Keeps a worker's heartbeat, stamped by Redis's own clock.
-- KEYS: the worker's hash, the index of workers, those that left.
-- ARGV: worker id, payload, signature, sent_at_ms, milliseconds to keep it.
-- Returns 1 if kept, 0 if a later heartbeat of the worker is there already (a replay).
local last = tonumber(redis.call('HGET', KEYS[1], 'sent_at_ms') or '0')
if tonumber(ARGV[4]) <= last then
  return 0
end
local now = redis.call('TIME')
local received = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], 'payload', ARGV[2], 'signature', ARGV[3],
  'sent_at_ms', ARGV[4], 'received_at_ms', string.format('%.0f', received))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], received, ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
