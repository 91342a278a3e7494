-- Records receipts of a router and debits who pays for them, each once: they are numbered without
-- gaps, and what is not after the last one was recorded before. Where some between are missing that
-- the router still has, nothing is recorded: this Redis has lost them, and gets them again first.
-- KEYS: the stream of receipts, the last number of each router, the clients, the number of each router
-- up to which receipts are charged for already, in the backup that was put back.
-- ARGV: what keys begin with, the router, the number of the first, receipts kept for each client,
-- the holder of the credit, the oldest number that the router still has; then for each receipt:
-- client, what is charged, the receipt.
-- Returns the number of the last before which none is missing.
local last = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or '0')
local held = 'lease:' .. ARGV[5]
last = math.max(last, tonumber(ARGV[6]) - 1)
if tonumber(ARGV[3]) > last + 1 then
  return last
end
local paid_up_to = tonumber(redis.call('HGET', KEYS[4], ARGV[2]) or '0')
for place = 7, #ARGV, 3 do
  local number_here = tonumber(ARGV[3]) + (place - 7) / 3
  if number_here > last then
    local client, charged = ARGV[place], tonumber(ARGV[place + 1])
    local account = ARGV[1] .. 'credit:' .. client
    local id = redis.call('XADD', KEYS[1], '*', 'client', client, 'receipt', ARGV[place + 2])
    redis.call('XADD', ARGV[1] .. 'receipts:' .. client, 'MAXLEN', '~', ARGV[4], id, 'router', ARGV[2])
    if charged > 0 and number_here > paid_up_to then
      redis.call('SADD', KEYS[3], client)
      add(account, 'spent', charged)
      local from_lease = math.min(number(account, held), charged)
      if from_lease > 0 then
        add(account, held, -from_lease)
      end
      -- The lease was given back before the receipt came.
      local late = charged - from_lease
      local from_balance = math.min(number(account, 'balance'), late)
      if from_balance > 0 then
        add(account, 'balance', -from_balance)
      end
      if late > from_balance then
        add(account, 'debt', late - from_balance)
      end
    end
    last = number_here
  end
end
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', last))
return last
