-- A page, unless it is longer than any of ours.
--
-- KEYS[1]: the room's pages. ARGV: the field, the longest that it may be.
if redis.call('HSTRLEN', KEYS[1], ARGV[1]) > tonumber(ARGV[2]) then
    return false
end
return redis.call('HGET', KEYS[1], ARGV[1])
