-- Something that was said is gone: no page of the room from before is left, or comes back.
--
-- KEYS[1]: the room's pages. ARGV: the version from which on pages may be kept, milliseconds to live.
local floor = redis.call('HGET', KEYS[1], 'floor')
if floor and floor > ARGV[1] and string.sub(floor, 1, 10) == string.sub(ARGV[1], 1, 10) then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'floor', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
