-- Lends credit of an account to a router.
-- KEYS: the account, the lessees. ARGV: the holder, what it needs, what it would like, milliseconds.
-- Returns what it got, the balance that is left, the debt, and what other routers hold. It gets
-- nothing if it cannot have what it needs.
reap(KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', now + tonumber(ARGV[4])))
local balance, debt = number(KEYS[1], 'balance'), number(KEYS[1], 'debt')
local needed = tonumber(ARGV[2])
local granted = 0
if debt == 0 and balance >= needed then
  granted = math.max(needed, math.min(tonumber(ARGV[3]), math.floor(balance / 8)))
end
if granted > 0 then
  add(KEYS[1], 'balance', -granted)
  add(KEYS[1], 'lease:' .. ARGV[1], granted)
end
local others = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.match(field, '^lease:') and field ~= 'lease:' .. ARGV[1] then
    others = others + number(KEYS[1], field)
  end
end
return { granted, balance - granted, debt, others }
