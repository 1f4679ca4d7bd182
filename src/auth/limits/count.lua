-- Counts requests of one key, as auth/limits/tally.rs does, on Redis's clock.
-- KEYS[1]: "<requests> <refusals> <blocked until>", microseconds since 1970.
-- ARGV: emission interval, burst, length of a block (microseconds); what the node had heard last of
-- requests, refusals and block, in case it was lost here; how many it has admitted and refused since;
-- 1 if it asks for one more.
-- Answer: the time, the three, 1 if that one more is admitted, 1 if what was there made no sense.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local emission, burst, block = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local requests, refusals, blocked, bad = 0, 0, 0, 0

local function sane(value, ahead)
  if value > now + ahead then return 0 end
  return value
end

-- No more of it than we write, whatever somebody has put there.
local stored = redis.pcall('GETRANGE', KEYS[1], 0, 63)
if type(stored) ~= 'string' then
  bad = 1
elseif stored ~= '' then
  local a, b, c = string.match(stored, '^(%d+) (%d+) (%d+)$')
  if a then
    requests, refusals, blocked = tonumber(a), tonumber(b), tonumber(c)
    if requests > now + 2 * burst or refusals > now + burst or blocked > now + block then bad = 1 end
  else
    bad = 1
  end
end
requests = math.max(sane(requests, 2 * burst), sane(tonumber(ARGV[4]), 2 * burst))
refusals = math.max(sane(refusals, burst), sane(tonumber(ARGV[5]), burst))
blocked = math.max(sane(blocked, block), sane(tonumber(ARGV[6]), block))

local admitted, refused = tonumber(ARGV[7]), tonumber(ARGV[8])
if admitted > 0 then
  requests = math.min(math.max(requests, now) + admitted * emission, now + 2 * burst)
end
local function refuse(count)
  if count == 0 or blocked > now then return end
  local charged = math.max(refusals, now) + count * emission
  if charged <= now + burst then refusals = charged else blocked = now + block end
end
refuse(refused)

local passes = 0
if ARGV[9] == '1' and blocked <= now then
  local next = math.max(requests, now) + emission
  if next <= now + burst then
    requests, passes = next, 1
  else
    refuse(1)
  end
end

local ahead = math.max(requests, refusals, blocked) - now
if ahead > 0 then
  local value = string.format('%.0f %.0f %.0f', requests, refusals, blocked)
  redis.call('SET', KEYS[1], value, 'PX', math.ceil(ahead / 1000))
else
  redis.call('DEL', KEYS[1])
end
return { now, requests, refusals, blocked, passes, bad }
