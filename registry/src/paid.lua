-- Adds what a batch pays to what its recipients were paid, each once: batches come in their order.
-- KEYS: the settled batches, which place the others in a cluster.
-- ARGV: what keys begin with, the batch, then for each recipient: id, amount.
-- Returns how many it was added for.
local batch = tonumber(ARGV[2])
local added = 0
for first = 3, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[first]
  local last = tonumber(redis.call('HGET', key, 'last_batch') or '0')
  if batch > last then
    redis.call('HSETNX', key, 'since_batch', ARGV[2])
    redis.call('HSET', key, 'last_batch', ARGV[2], 'last_amount', ARGV[first + 1])
    redis.call('HINCRBY', key, 'total', ARGV[first + 1])
    added = added + 1
  end
end
return added
