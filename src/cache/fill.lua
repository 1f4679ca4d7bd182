-- Keeps a page of a room, unless what is there is newer. Decides as `version::judge` does.
--
-- KEYS[1]: the room's pages, a hash. ARGV: the field, the page's version and the page, milliseconds to
-- live, pages at most.
--
-- A version is the log's life (10 digits) and its last event (20 digits): compared as text it is
-- compared as numbers, without the rounding that numbers have here. `floor` is the version of the last
-- deletion: no page of before comes back.
local field, version, page = ARGV[1], ARGV[2], ARGV[3]
local life = string.sub(version, 1, 10)
local floor = redis.call('HGET', KEYS[1], 'floor')
if floor then
    if string.sub(floor, 1, 10) ~= life then
        redis.call('DEL', KEYS[1])
        return 2
    end
    if version < floor then
        return 0
    end
end
local known = redis.call('HGET', KEYS[1], field)
if known then
    known = string.sub(known, 1, 30)
    if string.sub(known, 1, 10) ~= life then
        redis.call('DEL', KEYS[1])
        return 2
    end
    if known > version then
        return 0
    end
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
    redis.call('DEL', KEYS[1])
    if floor then
        redis.call('HSET', KEYS[1], 'floor', floor)
    end
end
redis.call('HSET', KEYS[1], field, version .. page)
-- From the first page on, so that none lives longer by the others' coming.
if redis.call('PTTL', KEYS[1]) < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
