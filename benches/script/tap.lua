-- The recorder's job as a Lua tap of tshark: of every exchange that ended with status 500, the stream's
-- name is looked up in a list of 1,000 names and added when it is not there.

local status = Field.new("http.response.code")
local stream = Field.new("tcp.stream")
local tap = Listener.new("frame", "http.response")
local names, seen, matched = {}, 0, 0

for i = 0, 999 do
  names[#names + 1] = string.format("%012d.pcap", i)
end

local function index_of(name)
  for i = 1, #names do
    if names[i] == name then return i end
  end
  return nil
end

function tap.packet()
  seen = seen + 1
  if status().value ~= 500 then return end
  matched = matched + 1
  local name = string.format("%012d.pcap", stream().value)
  if not index_of(name) then names[#names + 1] = name end
end

function tap.draw()
  print("items " .. seen .. " matched " .. matched)
end
