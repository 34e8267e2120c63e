-- The HTTP load, for wrk: small JSON calls, 5 % errors, a few large bodies, connections of a geometric
-- length around 40 requests. Arguments: seed, requests in all (0: until the time is over).

local seed, wanted, done = 1, 0, 0

function init(args)
  seed = tonumber(args[1]) or 1
  wanted = tonumber(args[2]) or 0
  math.randomseed(seed)
end

local agents = { "orders/2.1", "mobile/8.4 (build 1184)", "curl/8.5.0" }

function request()
  local headers = {
    ["Host"] = "shop.example",
    ["User-Agent"] = agents[math.random(#agents)],
    ["Accept"] = "application/json",
    ["X-Request-Id"] = string.format("%08x%08x", math.random(0, 2 ^ 31), math.random(0, 2 ^ 31)),
  }
  if math.random(40) == 1 then headers["Connection"] = "close" end
  local choice = math.random(1000)
  if choice <= 30 then return wrk.format("GET", "/api/missing/" .. math.random(100000), headers) end
  if choice <= 50 then return wrk.format("GET", "/api/broken", headers) end
  if choice <= 54 then return wrk.format("GET", "/reports/month", headers) end
  if choice <= 200 then
    headers["Content-Type"] = "application/json"
    local body = string.format('{"customer":%d,"lines":[{"sku":"%08d","count":%d}]}',
      math.random(100000), math.random(10000000), math.random(9))
    return wrk.format("POST", "/api/orders", headers, body)
  end
  return wrk.format("GET", "/api/orders/" .. math.random(0, 399) .. "?page=" .. math.random(20), headers)
end

function response()
  done = done + 1
  -- wrk itself would wait for the end of its time.
  if done == wanted then os.exit(0) end
end
