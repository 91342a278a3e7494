-- What all scripts about credit begin with.
--
-- An account is a hash: `deposited` and `spent` over its whole life, `balance` that nobody holds,
-- `lease:{router}` that a router holds and has not spent, `debt` that was spent from a lease after it
-- had been given back. At any time deposited + debt = balance + all leases + spent. Balances are
-- under 2^53, so that Lua's numbers hold them exactly; deposited and spent are only ever added to.
local function number(key, field)
  return tonumber(redis.call('HGET', key, field) or '0')
end

local function add(key, field, amount)
  redis.call('HINCRBY', key, field, string.format('%.0f', amount))
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Gives an account back what routers hold that are gone, and pays its debt.
local function reap(account, lessees)
  local fields = redis.call('HGETALL', account)
  for place = 1, #fields, 2 do
    local router = string.match(fields[place], '^lease:(.+)$')
    if router and tonumber(redis.call('HGET', lessees, router) or '0') <= now then
      add(account, 'balance', tonumber(fields[place + 1]))
      redis.call('HDEL', account, fields[place])
    end
  end
  local paid = math.min(number(account, 'debt'), number(account, 'balance'))
  if paid > 0 then
    add(account, 'balance', -paid)
    add(account, 'debt', -paid)
  end
end

-- What an account holds, with what routers hold of it.
local function held(account)
  local sum = number(account, 'balance')
  for _, field in ipairs(redis.call('HKEYS', account)) do
    if string.match(field, '^lease:') then
      sum = sum + number(account, field)
    end
  end
  return sum
end

