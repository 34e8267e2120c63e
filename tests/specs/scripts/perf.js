/*
{
 "row": "perf/perf2.js",
 "items": [
  {
   "elapsed": 10
  },
  {
   "elapsed": 20
  },
  {
   "elapsed": 0
  }
 ],
 "seconds": 40,
 "lines": [
  "[hub-0:ERROR] Error"
 ],
 "metrics": [
  "# TYPE performance gauge",
  "performance{s_namespace=\"shop\",s_path=\"/cart\",s_pod=\"cart\",s_src=\"web\"} 15\n",
  "total_calls 3"
 ]
}
*/
try { if (utils.nodeName() === "hub") throw new Error("not here"); } catch (error) { console.error(error); }
var samples = [], calls = 0;
function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  calls++;
  if (data.elapsedTime > 0) samples.push(data);
}
jobs.schedule("push-to-prom", "0 * * * * *", function () {
  if (samples.length === 0) return;
  var sum = samples.map(function (d) { return d.elapsedTime; }).reduce(function (a, b) { return a + b; }, 0), one = samples[0];
  prometheus.vector("performance", "Latency", 2, sum / samples.length,
    {s_path: one.request.path, s_namespace: one.dst.namespace, s_src: one.src.name, s_pod: one.dst.name});
  prometheus.metric("total_calls", "Calls", 1, calls);
});
