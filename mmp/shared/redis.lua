-- Answers a batch of questions of one host. ARGV: the host's name, the seconds of its lease, then the questions, each
-- a letter and its arguments. KEYS: in the order in which the questions use them. What each question means is said in
-- store.py, and how rates and badness go in mmp/policy; seconds are those of this server's clock alone. Replies are
-- numbers and status lines: the client reads these at once, and takes a turn of its loop for each string.
local host, lease = ARGV[1], tonumber(ARGV[2])
local last_argument, last_key = 2, 0

local function argument()
  last_argument = last_argument + 1
  return ARGV[last_argument]
end

local function number()
  return tonumber(argument())
end

local function key()
  last_key = last_key + 1
  return KEYS[last_key]
end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function expire(name, seconds)
  redis.call('PEXPIRE', name, math.ceil(seconds * 1000))
end

-- Slots: a hash, in which each host has a field with the number that it holds and the second until which that counts.

local function held_by_others(name)
  local total, fields = 0, redis.call('HGETALL', name)
  for at = 1, #fields, 2 do
    if fields[at] ~= host then
      local count, ends = string.match(fields[at + 1], '(%d+) ([%d.]+)')
      if tonumber(ends) > now then
        total = total + tonumber(count)
      else
        redis.call('HDEL', name, fields[at])
      end
    end
  end
  return total
end

local function hold(name, own)
  if own > 0 then
    redis.call('HSET', name, host, string.format('%d %.6f', own, now + lease))
    expire(name, lease)
  else
    redis.call('HDEL', name, host)
  end
end

local function take()
  local slots, full, refused = {}, 0, false
  for at = 1, number() do
    local slot = {name = key(), own = number(), most = number(), observed = argument() == '1'}
    if held_by_others(slot.name) + slot.own > slot.most then
      full = full + 2 ^ (at - 1)
      refused = refused or not slot.observed
    end
    slots[at] = slot
  end
  if not refused then
    for _, slot in ipairs(slots) do
      hold(slot.name, slot.own)
    end
  end
  return full
end

-- Rates: the second at which all events would be over if they came evenly.

local function count()
  local name, step, period = key(), number(), number()
  local over = math.max(now, tonumber(redis.call('GET', name) or 0)) + step
  local wait = over - now - period
  if wait > 0.000001 then
    return math.ceil(wait * 1000000)
  end
  redis.call('SET', name, string.format('%.6f', over), 'PX', math.ceil((over - now) * 1000))
  return 0
end

local function uncount()
  local name, step = key(), number()
  local over = tonumber(redis.call('GET', name) or 0) - step
  if over > now then
    redis.call('SET', name, string.format('%.6f', over), 'PX', math.ceil((over - now) * 1000))
  else
    redis.call('DEL', name)
  end
  return 0
end

-- Badness: a hash; digests are of equal length, in hexadecimal, one behind the other.

local function known(name)
  local badness, since, failures, seen = unpack(redis.call('HMGET', name, 'badness', 'since', 'failures', 'seen'))
  if not badness then
    return ''
  end
  return string.format('%s %.6f %s ', badness, now - tonumber(since), failures) .. seen
end

local function look()
  local household, user, vouched = key(), key(), key()
  return redis.status_reply(known(household) .. '|' .. known(user) .. '|' .. redis.call('PTTL', vouched))
end

local function fail()
  local name, digest, remembered = key(), argument(), number()
  local penalty, most, decay, linear = number(), number(), number(), argument() == '1'
  local badness, since, failures, seen = unpack(redis.call('HMGET', name, 'badness', 'since', 'failures', 'seen'))
  local left = 0
  if badness and now - tonumber(since) < decay then
    left = tonumber(badness) * (linear and 1 - (now - tonumber(since)) / decay or 1)
  end
  if left == 0 then
    failures, seen = 0, ''
  end
  for at = 1, #seen, #digest do
    if string.sub(seen, at, at + #digest - 1) == digest then
      return 0
    end
  end
  seen = string.sub(seen .. digest, -remembered * #digest)
  redis.call('HSET', name, 'badness', string.format('%.6f', math.min(left + penalty, most)),
    'since', string.format('%.6f', now), 'failures', failures + 1, 'seen', seen)
  expire(name, decay)
  return 0
end

local answers = {
  take = take,
  hold = function() hold(key(), number()) return 0 end,
  count = count,
  uncount = uncount,
  look = look,
  fail = fail,
  forget = function() redis.call('DEL', key()) return 0 end,
  vouch = function() redis.call('SET', key(), '1', 'PX', math.ceil(number() * 1000)) return 0 end,
}

local replies = {}
while last_argument < #ARGV do
  replies[#replies + 1] = answers[argument()]()
end
return replies
