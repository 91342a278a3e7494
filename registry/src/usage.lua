-- Adds what a router let a key use, and says how much more it may.
-- KEYS: the key's usage.
-- ARGV: the router, requests, rows, bytes, queries under way there, how many routers there are, the
-- limit of requests a minute, the limit of queries at once (0 is none).
-- Returns requests, rows and bytes of all routers this minute, queries under way everywhere,
-- milliseconds until the minute is over, how many requests this router may let through until it asks
-- again, how many more queries it may begin.
-- What was let through and what routers still may are never more than the limit together, but for
-- rounding up.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local minute = string.format('%.0f', math.floor(now / 60000))
if redis.call('HGET', KEYS[1], 'minute') ~= minute then
  redis.call('HSET', KEYS[1], 'minute', minute, 'requests', '0', 'rows', '0', 'bytes', '0')
end
redis.call('EXPIRE', KEYS[1], 120)
local sums = {}
for place, name in ipairs({ 'requests', 'rows', 'bytes' }) do
  sums[place] = redis.call('HINCRBY', KEYS[1], name, ARGV[place + 1])
end
local own = 'router:' .. ARGV[1]
local running, promised, promised_running = tonumber(ARGV[5]), 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for place = 1, #fields, 2 do
  if string.match(fields[place], '^router:') and fields[place] ~= own then
    local at, during, count, requests, begins =
      string.match(fields[place + 1], '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    if now - tonumber(at) < 3000 then
      running = running + tonumber(count)
      promised_running = promised_running + tonumber(begins)
      if during == minute then
        promised = promised + tonumber(requests)
      end
    else
      -- It said nothing for a while: it is gone.
      redis.call('HDEL', KEYS[1], fields[place])
    end
  end
end
local function share(limit, taken)
  return math.ceil(math.max(0, limit - taken) / tonumber(ARGV[6]))
end
local requests = share(tonumber(ARGV[7]), sums[1] + promised)
local begins = share(tonumber(ARGV[8]), running + promised_running)
redis.call('HSET', KEYS[1], own, string.format('%.0f %s %s %.0f %.0f', now, minute, ARGV[5], requests, begins))
return { sums[1], sums[2], sums[3], running, 60000 - now % 60000, requests, begins }
