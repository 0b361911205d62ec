-- Requests of a service whose state is `holding` wait here until it is another. Loaded by haproxy.cfg with the two
-- bounds as arguments: seconds that one waits, and requests of one service that wait at a time.
-- It asks the map that every publish writes, so that a release needs no word of its own.

local seconds, most = ...
local patience, most = math.floor(tonumber(seconds) * 1000), tonumber(most)
local states = Map.new("maps/state.map", Map._str)
local UNTIL = "x-hold-until"

local lines, total = {}, 0 -- service to those that wait for it: ticket to the millisecond by which it is heard of again
local tickets = 0

local function now()
  local time = core.now()
  return time.sec * 1000 + time.usec // 1000
end

-- The more wait, the longer they sleep: their cost stays the same.
local function pause()
  return math.min(20 + total // 20, 1000)
end

-- A client that goes away ends its wait without a word, so what was not heard of for a second is gone. (HAProxy 2.8
-- sees that only of those that had more to send. Others keep their place until the wait ends for all.)
local function sweep(line, at)
  if at < line.swept + 200 then return end
  line.swept = at
  for ticket, due in pairs(line.due) do
    if due < at then
      line.due[ticket], line.count, total = nil, line.count - 1, total - 1
    end
  end
end

local function enter(service, at)
  local line = lines[service] or { due = {}, count = 0, swept = 0 }
  sweep(line, at)
  if line.count >= most then return nil end
  lines[service], tickets = line, tickets + 1
  return line, tickets
end

local function stay(line, ticket, at)
  if not line.due[ticket] then
    line.count, total = line.count + 1, total + 1
  end
  line.due[ticket] = at + pause() + 1000
end

local function leave(service, line, ticket)
  if line.due[ticket] then
    line.due[ticket], line.count, total = nil, line.count - 1, total - 1
  end
  if line.count == 0 and lines[service] == line then lines[service] = nil end
end

local function is_stopping(txn)
  local stopping = txn.f:stopping() -- a number until HAProxy 3.1
  return stopping == 1 or stopping == true
end

-- What came of it stands in txn.held: `full`, `timeout`, `onward` (a worker that is being replaced lets the new one
-- decide, and tells it when this request's patience ends), `released` with the new state in txn.state.
local function wait(txn, service, line, ticket, till)
  while true do
    local at, state = now(), states:lookup(service)
    if state ~= "holding" then
      txn:set_var("txn.state", state or "")
      return "released"
    end
    if at >= till then return "timeout" end
    if is_stopping(txn) then
      txn.http:req_set_header(UNTIL, string.format("%d", till))
      return "onward"
    end
    stay(line, ticket, at)
    core.msleep(math.max(1, math.min(pause(), till - at)))
  end
end

-- How many wait, service by service: what the daemon asks for.
core.register_cli({ "show", "held" }, "", function(applet)
  for service, line in pairs(lines) do
    sweep(line, now())
    if line.count > 0 then applet:send(string.format("%s %d\n", service, line.count)) end
  end
end)

core.register_action("hold", { "http-req" }, function(txn)
  local service, at = txn:get_var("txn.service"), now()
  txn:set_var("txn.held", "timeout") -- as it stays if the client goes away
  local line, ticket = enter(service, at)
  if not line then
    txn:set_var("txn.held", "full")
    return
  end
  local till, given = at + patience, tonumber(txn.f:req_hdr(UNTIL) or "")
  if given and given < till then till = math.floor(given) end -- a client that claims this waits less, never more
  local held = wait(txn, service, line, ticket, till)
  leave(service, line, ticket)
  txn:set_var("txn.held", held)
  txn:set_var("txn.held_ms", now() - at)
end, 0)
