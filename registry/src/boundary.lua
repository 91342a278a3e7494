-- Up to where a stream is archived next. It is drawn once and stays until the archiving is over.
-- KEYS: the stream, the boundary. ARGV: the most entries at once.
-- Returns the id of the last entry, or nothing if the stream is empty.
local boundary = redis.call('GET', KEYS[2])
if boundary then
  return boundary
end
local entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])
if #entries == 0 then
  return false
end
redis.call('SET', KEYS[2], entries[#entries][1])
return entries[#entries][1]
