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
    if redis.call('PTTL', name) < lease * 1000 then  -- another host's lease may be longer
      expire(name, lease)
    end
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

-- Strikes: a sorted set of digests by the second of the failure.

local function strike()
  local name, digest, after, window = key(), argument(), number(), number()
  redis.call('ZREMRANGEBYSCORE', name, '-inf', now - window)
  redis.call('ZADD', name, 'NX', now, digest)
  if redis.call('ZCARD', name) >= after then
    redis.call('DEL', name)
    return 1
  end
  expire(name, window)
  return 0
end

-- News: a hash has of each subject by whom, until when and what was said; sorted sets have the subjects by number and by
-- end. Subject and text are in hexadecimal. Two fields of the hash are no subjects: which store it is, and the last number.

local MONTH, MOST, PIECE = 31 * 86400, 100000, 8000

local function drop(subjects, order, ends, names)
  for _, name in ipairs(names) do
    redis.call('HDEL', subjects, name)
    redis.call('ZREM', order, name)
    redis.call('ZREM', ends, name)
  end
end

local function announce()
  local subjects, order, ends = key(), key(), key()
  local subject, seconds, kept, text = argument(), number(), number(), argument()
  local line = string.format('%s %.6f %s', host, now + seconds, text)
  redis.call('HSET', subjects, subject, line)
  redis.call('ZADD', order, redis.call('HINCRBY', subjects, '#last', 1), subject)
  redis.call('ZADD', ends, string.format('%.6f', now + kept), subject)
  drop(subjects, order, ends, redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100))
  if redis.call('ZCARD', order) > MOST then
    drop(subjects, order, ends, redis.call('ZRANGE', order, 0, 0))
  end
  redis.pcall('PUBLISH', subjects, '')  -- who may not publish is heard a little later
  return 0
end

local function fetch()
  local subjects, order, ends, era, since = key(), key(), key(), argument(), number()
  redis.call('HSETNX', subjects, '#era', time[1] .. '.' .. time[2])
  local present, last = unpack(redis.call('HMGET', subjects, '#era', '#last'))
  local anew = era ~= present or since > tonumber(last or 0)
  local found = redis.call('ZRANGEBYSCORE', order, anew and '-inf' or '(' .. since, '+inf',
    'WITHSCORES', 'LIMIT', 0, 100)
  local items, length, goes_on = {}, 0, #found == 200
  since = anew and 0 or since
  for at = 1, #found, 2 do
    local line = redis.call('HGET', subjects, found[at])
    if line then
      local by, ends_at, text = string.match(line, '(%S+) (%S+) (.*)')
      local item = string.format('%s|%d|%.6f|%s', found[at], by == host and 1 or 0, tonumber(ends_at) - now, text)
      length = length + #item
      if #items > 0 and length > PIECE then
        goes_on = true
        break
      end
      items[#items + 1], since = item, found[at + 1]
    else  -- the server was short of memory and has dropped the hash alone
      drop(subjects, order, ends, {found[at]})
    end
  end
  for _, name in ipairs({subjects, order, ends}) do
    expire(name, MONTH)
  end
  return redis.status_reply(string.format('%s %d %d %d ', present, since, anew and 1 or 0, goes_on and 1 or 0)
    .. table.concat(items, ' '))
end

local answers = {
  take = take,
  hold = function() hold(key(), number()) return 0 end,
  count = count,
  uncount = uncount,
  look = look,
  fail = fail,
  strike = strike,
  announce = announce,
  fetch = fetch,
  forget = function() redis.call('DEL', key()) return 0 end,
  vouch = function() redis.call('SET', key(), '1', 'PX', math.ceil(number() * 1000)) return 0 end,
}

local replies = {}
while last_argument < #ARGV do
  replies[#replies + 1] = answers[argument()]()
end
return replies
