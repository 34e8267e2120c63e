/*
{
 "row": "top5/dns2.js",
 "items": [
  {
   "protocol": "dns",
   "repeat": 3
  },
  {
   "protocol": "dns",
   "src": "db",
   "repeat": 2
  },
  {}
 ],
 "seconds": 60,
 "lines": [
  "[hub-0] 1. web 3",
  "[hub-0] 2. db 2"
 ],
 "metrics": [
  "dns_requests{s_pod=\"web\"} 3",
  "dns_requests{s_pod=\"db\"} 2"
 ],
 "never": [
  "ERROR"
 ]
}
*/
var asked = {}, together = {};
function onItemCaptured(data) { if (data.protocol.name === "dns") asked[data.src.name] = (asked[data.src.name] || 0) + 1; }
function first(map, count) {
  return Object.keys(map).sort(function (a, b) { return map[b] - map[a]; }).slice(0, count);
}
function onHubAction(action, object) {
  if (action !== "dns2") return;
  together = wrapper.joinMaps(together, object);
}
if (utils.nodeName() === "hub") jobs.schedule("report-dns-consumers", "50 * * * * *", function () {
  console.clear();
  var pods = first(together, 5);
  if (pods.length === 0) { console.log("Waiting for data .."); return; }
  pods.forEach(function (pod, index) {
    console.log((index + 1) + ".", pod, together[pod]);
    prometheus.vector("dns_requests", "DNS requests", 1, together[pod], {s_pod: pod});
  });
});
else jobs.schedule("report-dns-consumers-to-hub", "*/20 * * * * *", function () {
  var top = {};
  first(asked, 5).forEach(function (pod) { top[pod] = asked[pod]; });
  asked = {};
  if (Object.keys(top).length > 0) hub.action("dns2", top);
});
