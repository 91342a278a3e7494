-- Takes or keeps the lease on a job.
-- KEYS: the lease, the last token. ARGV: the holder, milliseconds.
-- Returns the token, or 0 while another holds it.
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then
  return 0
end
local token = redis.call('HGET', KEYS[1], 'token')
if not holder then
  token = redis.call('INCR', KEYS[2])
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(token)
