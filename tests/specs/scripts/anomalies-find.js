/*
{
 "row": "anomalies/find.js",
 "items": [
  {
   "elapsed": 10,
   "repeat": 38
  },
  {
   "elapsed": 11,
   "repeat": 2
  },
  {
   "elapsed": 900
  }
 ],
 "seconds": 20,
 "lines": [
  "looking at 1 pods",
  "web: 1 of 41 above 10 (900)"
 ],
 "never": [
  "[n-0:ERROR]"
 ]
}
*/
var latencies = {};
function onItemCaptured(data) {
  if (!data.elapsedTime) return;
  var list = latencies[data.src.name] = latencies[data.src.name] || [];
  list.push(data.elapsedTime);
}
function quartile(sorted, part) { return sorted[Math.floor((sorted.length - 1) * part)]; }
if (utils.nodeName() !== "hub") jobs.schedule("analyze-latencies", "*/20 * * * * *", function () {
  console.log("looking at", Object.keys(latencies).length, "pods");
  for (var pod in latencies) {
    if (latencies[pod].length < 40) continue;
    var sorted = latencies[pod].slice().sort(function (a, b) { return a - b; });
    var low = quartile(sorted, 0.25), high = quartile(sorted, 0.75), bound = high + 3 * (high - low);
    var far = sorted.filter(function (latency) { return latency > bound + 1; });
    console.log(pod + ": " + far.length + " of " + sorted.length + " above " + bound + " (" + far.map(String) + ")");
    latencies[pod] = [];
  }
});
