/*
{
 "row": "anomalies/find2.js",
 "items": [
  {
   "elapsed": 10,
   "repeat": 10
  },
  {
   "elapsed": 500
  }
 ],
 "seconds": 20,
 "lines": [
  "anomaly web /cart 500 z=",
  "analysed 11 Q3 10"
 ],
 "never": [
  "[n-0:ERROR]"
 ]
}
*/
var times = {};
function onItemCaptured(data) {
  if (!kfl.match("http", data)) return;
  var list = times[data.src.name] = times[data.src.name] || [];
  list.push(data.elapsedTime);
  var mean = list.reduce(function (a, b) { return a + b; }, 0) / list.length;
  var deviation = Math.sqrt(list.map(function (t) { return (t - mean) * (t - mean); }).reduce(function (a, b) { return a + b; }, 0) / list.length);
  var z = deviation > 0 ? (data.elapsedTime - mean) / deviation : 0;
  if (z > 3) console.log("anomaly", data.src.name, data.request.path, data.elapsedTime, "z=" + z.toFixed(2));
}
if (utils.nodeName() === "hub") { console.clear(); console.log("hub"); }
else jobs.schedule("analyze-latencies", "*/20 * * * * *", function () {
  for (var pod in times) {
    var sorted = times[pod].slice().sort(function (a, b) { return a - b; });
    console.log("analysed", sorted.length, "Q3", sorted[Math.floor(sorted.length * 0.75)]);
  }
});
