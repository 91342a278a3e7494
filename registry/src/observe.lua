-- Adds to workers' records what a router saw of them; what was there before has faded since.
-- KEYS: the report, the index of standings.
-- ARGV: what keys begin with, milliseconds to remember the report, half-life in milliseconds,
-- then for each worker: id, right, wrong, answered, failed, places, placed.
-- Returns 1 if added, 0 if the report was added before.
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[2]) then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stamp = string.format('%.0f', now)
local names = { 'right', 'wrong', 'answered', 'failed', 'places', 'placed' }
for first = 4, #ARGV, 7 do
  local id = ARGV[first]
  local key = ARGV[1] .. 'standing:' .. id
  local known = redis.call('HMGET', key, 'updated_ms', 'kept_ms', unpack(names))
  local elapsed = math.max(0, now - (tonumber(known[1] or '') or now))
  local left = 2 ^ (-elapsed / tonumber(ARGV[3]))
  local sums = {}
  for place, name in ipairs(names) do
    local before = tonumber(known[place + 2] or '') or 0
    sums[place] = string.format('%.17g', before * left + tonumber(ARGV[first + place]))
    redis.call('HSET', key, name, sums[place])
  end
  redis.call('HSET', key, 'updated_ms', stamp)
  redis.call('ZADD', KEYS[2], now, id)
  -- A minute at a time, and a day of them.
  if now - (tonumber(known[2] or '') or 0) >= 60000 then
    local history = ARGV[1] .. 'history:' .. id
    redis.call('HSET', key, 'kept_ms', stamp)
    redis.call('LPUSH', history, '[' .. stamp .. ',[' .. table.concat(sums, ',') .. ']]')
    redis.call('LTRIM', history, 0, 1439)
  end
end
return 1
