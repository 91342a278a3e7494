-- Takes back what a router does not need.
-- KEYS: the account, the lessees. ARGV: the holder, the amount.
local field = 'lease:' .. ARGV[1]
local returned = math.min(number(KEYS[1], field), tonumber(ARGV[2]))
if returned > 0 then
  add(KEYS[1], field, -returned)
  add(KEYS[1], 'balance', returned)
end
if number(KEYS[1], field) == 0 then
  redis.call('HDEL', KEYS[1], field)
end
reap(KEYS[1], KEYS[2])
return returned
