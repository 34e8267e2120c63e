// Latency by path
//
// Prints once a minute how long the requests to each path took: half of them no longer than p50, all
// but one in a hundred no longer than p99. Numbers and identifiers in a path count as one path.
//
//   LATENCY_PATHS   how many paths to print, those with the most requests first (default 10)

var PATHS = Number(env.LATENCY_PATHS) || 10;
var MAX_PATHS = 1000;

// Of a busier path, what came first in the minute is counted.
var MAX_SAMPLES = 10000;
var times = {};

function shape(path) {
  return path.replace(/\/(\d+|[0-9a-f-]{16,})(?=\/|$)/gi, "/:id");
}

function onItemCaptured(data) {
  if (data.protocol.name !== "http" || !data.request || !data.response) return;
  var name = data.request.method + " " + shape(data.request.path);
  if (!times[name]) {
    if (Object.keys(times).length >= MAX_PATHS) return;
    times[name] = [];
  }
  if (times[name].length < MAX_SAMPLES) times[name].push(data.elapsedTime);
}

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

jobs.schedule("path-latency", "0 * * * * *", function () {
  var names = Object.keys(times).sort(function (a, b) {
    return times[b].length - times[a].length || (a < b ? -1 : 1);
  });
  names.slice(0, PATHS).forEach(function (name) {
    var sorted = times[name].sort(function (a, b) {
      return a - b;
    });
    console.log(
      name + ": " + sorted.length + " requests, p50 " + percentile(sorted, 0.5) + " ms, p99 " +
        percentile(sorted, 0.99) + " ms"
    );
  });
  times = {};
});
