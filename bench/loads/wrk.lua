-- wrk's result as one line of JSON. The first argument is how many milliseconds each connection pauses
-- on average before a request: that makes a rate that does not depend on how fast the answers are.

-- The latencies are told as shares below a value: wrk looks each value of its histogram up from the start, and
-- telling all of them took as much CPU time as a seventh of the requests.
local percents = {}
for percent = 1, 99 do percents[#percents + 1] = percent end
for _, percent in ipairs({ 99.3, 99.6, 99.8, 99.9, 99.95, 99.99, 100 }) do
  percents[#percents + 1] = percent
end

function init(args)
  local pauseMs = tonumber(args[1] or "0")
  if pauseMs > 0 then
    function delay() return math.random(1, 2 * pauseMs - 1) end
  end
end

function done(summary, latency, requests)
  local quantiles = {}
  for i, percent in ipairs(percents) do
    quantiles[i] = string.format("[%.2f,%d]", percent, latency:percentile(percent))
  end
  local e = summary.errors
  io.write(string.format('\nRESULT {"requests":%d,"durationUs":%d,"failed":%d,"quantiles":[%s]}\n',
    summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, table.concat(quantiles, ",")))
end
