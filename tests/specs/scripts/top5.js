/*
{
 "row": "top5/top5.js, dns.js",
 "items": [
  {
   "protocol": "dns",
   "repeat": 3
  },
  {
   "protocol": "dns",
   "src": "db"
  },
  {
   "elapsed": 0
  }
 ],
 "seconds": 30,
 "lines": [
  "/cart: 1",
  "1. web: 3",
  "2. db: 1"
 ],
 "metrics": [
  "dns_requests{s_pod=\"web\"} 3"
 ],
 "never": [
  "[n-0:ERROR]"
 ]
}
*/
var pods = {}, zero = {};
if (utils.nodeName() === "hub") console.clear();
else jobs.schedule("report-dns-consumers", "*/20 * * * * *", function () {
  console.clear();
  console.log(utils.json2Yaml(JSON.stringify(zero)));
  Object.keys(pods).sort(function (a, b) { return pods[b] - pods[a]; }).slice(0, 5).forEach(function (pod, index) {
    console.log((index + 1) + ". " + pod + ": " + pods[pod]);
    prometheus.vector("dns_requests", "DNS requests", 1, pods[pod], {s_pod: pod});
  });
}, 1);
function onItemCaptured(data) {
  if (data.protocol.name === "dns") pods[data.src.name] = (pods[data.src.name] || 0) + 1;
  if (data.protocol.name === "http" && data.elapsedTime == 0) zero[data.request.path] = 1;
}
