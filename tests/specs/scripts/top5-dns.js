/*
{
 "row": "top5/dns.js",
 "items": [
  {
   "protocol": "dns",
   "repeat": 3
  },
  {
   "protocol": "dns",
   "src": "db"
  }
 ],
 "seconds": 30,
 "lines": [
  "1. \u001b[36mweb\u001b[0m: 3",
  "2. \u001b[36mdb\u001b[0m: 1"
 ],
 "metrics": [
  "dns_requests{s_pod=\"web\"} 3"
 ],
 "never": [
  "ERROR"
 ]
}
*/
// Colours of the terminal
var cyan = "\033[36m", plain = "\033[0m", pods = {};
if (utils.nodeName() === "hub") console.clear();
else jobs.schedule("report-dns-consumers", "*/20 * * * * *", function () {
  console.clear();
  Object.keys(pods).sort(function (a, b) { return pods[b] - pods[a]; }).slice(0, 5).forEach(function (pod, index) {
    console.log((index + 1) + ". " + cyan + pod + plain + ": " + pods[pod]);
    prometheus.vector("dns_requests", "DNS requests", 1, pods[pod], {s_pod: pod});
  });
}, 1);
function onItemCaptured(data) { if (data.protocol.name === "dns") pods[data.src.name] = (pods[data.src.name] || 0) + 1; }
