-- Adds what was deposited on chain since it was looked at last.
-- KEYS: the account, the lessees, the administrative log, the clients.
-- ARGV: the field that says up to which sum deposits were added, that sum as the caller knows it,
-- the new sum, the difference, the most that an account may hold, the act, the client.
-- Returns 1 if added, 0 if the account was added to meanwhile, -1 if it would be too much.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '0') ~= ARGV[2] then
  return 0
end
reap(KEYS[1], KEYS[2])
if held(KEYS[1]) + tonumber(ARGV[4]) > tonumber(ARGV[5]) then
  return -1
end
redis.call('SADD', KEYS[4], ARGV[7])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HINCRBY', KEYS[1], 'deposited', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[4])
reap(KEYS[1], KEYS[2])
redis.call('XADD', KEYS[3], '*', 'act', ARGV[6])
return 1
