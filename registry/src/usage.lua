-- Adds what a router let a key use, and says what all routers together let it use this minute.
-- KEYS: the key's usage. ARGV: the router, requests, rows, bytes, queries under way there.
-- Returns requests, rows, bytes, queries under way everywhere, milliseconds until the minute is over.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local minute = string.format('%.0f', math.floor(now / 60000))
if redis.call('HGET', KEYS[1], 'minute') ~= minute then
  redis.call('HSET', KEYS[1], 'minute', minute, 'requests', '0', 'rows', '0', 'bytes', '0')
end
redis.call('HSET', KEYS[1], 'router:' .. ARGV[1], ARGV[5] .. '@' .. string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], 120)
local sums = {}
for place, name in ipairs({ 'requests', 'rows', 'bytes' }) do
  sums[place] = redis.call('HINCRBY', KEYS[1], name, ARGV[place + 1])
end
local running = 0
local fields = redis.call('HGETALL', KEYS[1])
for place = 1, #fields, 2 do
  if string.match(fields[place], '^router:') then
    local count, at = string.match(fields[place + 1], '^(%d+)@(%d+)$')
    -- Routers that said nothing for a while are gone.
    if now - tonumber(at) < 3000 then
      running = running + tonumber(count)
    end
  end
end
return { sums[1], sums[2], sums[3], running, 60000 - now % 60000 }
