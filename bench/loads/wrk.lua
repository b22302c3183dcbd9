-- wrk's result as one line of JSON. The first argument is how many milliseconds each connection pauses
-- on average before a request: that makes a rate that does not depend on how fast the answers are.

function init(args)
  local pauseMs = tonumber(args[1] or "0")
  if pauseMs > 0 then
    function delay() return math.random(1, 2 * pauseMs - 1) end
  end
end

function done(summary, latency, requests)
  local histogram = {}
  for i = 1, #latency do
    local value, count = latency(i)
    histogram[i] = string.format("[%d,%d]", value, count)
  end
  local e = summary.errors
  io.write(string.format('\nRESULT {"requests":%d,"durationUs":%d,"failed":%d,"latencyUs":[%s]}\n',
    summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, table.concat(histogram, ",")))
end
