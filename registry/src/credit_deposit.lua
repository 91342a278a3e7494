-- Adds credit once.
-- KEYS: the account, the lessees, the mark of this deposit, the administrative log, the clients, the
-- remembered deposits.
-- ARGV: amount, the most that an account may hold, seconds to remember the deposit, the act, the client,
-- the name of the deposit with its client.
-- Returns 1 if added, 0 if it was added before, -1 if it would be too much.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
reap(KEYS[1], KEYS[2])
if held(KEYS[1]) + tonumber(ARGV[1]) > tonumber(ARGV[2]) then
  return -1
end
redis.call('SET', KEYS[3], '1', 'EX', ARGV[3])
redis.call('SADD', KEYS[5], ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[6], string.format('%.0f', now + ARGV[3] * 1000), ARGV[6])
redis.call('HINCRBY', KEYS[1], 'deposited', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[1])
reap(KEYS[1], KEYS[2])
redis.call('XADD', KEYS[4], '*', 'act', ARGV[4])
return 1
