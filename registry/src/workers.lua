-- Lists the workers, and forgets those whose heartbeat has expired.
-- KEYS: the index of workers. ARGV: what a worker's key begins with.
-- Returns Redis's clock in milliseconds, then for each worker: id, payload, signature, and when
-- its last heartbeat was received.
local now = redis.call('TIME')
local answer = { string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)) }
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local beat = redis.call('HMGET', ARGV[1] .. id, 'payload', 'signature', 'received_at_ms')
  if beat[1] then
    table.insert(answer, { id, beat[1], beat[2], beat[3] })
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return answer
