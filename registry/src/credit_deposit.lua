-- Adds credit once.
-- KEYS: the account, the lessees, the mark of this deposit, the administrative log.
-- ARGV: amount, the most that an account may hold, seconds to remember the deposit, the act.
-- Returns 1 if added, 0 if it was added before, -1 if it would be too much.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
reap(KEYS[1], KEYS[2])
if held(KEYS[1]) + tonumber(ARGV[1]) > tonumber(ARGV[2]) then
  return -1
end
redis.call('SET', KEYS[3], '1', 'EX', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'deposited', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[1])
reap(KEYS[1], KEYS[2])
redis.call('XADD', KEYS[4], '*', 'act', ARGV[4])
return 1
