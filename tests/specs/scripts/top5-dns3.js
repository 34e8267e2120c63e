/*
{
 "row": "top5/dns3.js",
 "items": [
  {
   "protocol": "dns",
   "path": "/a.example",
   "repeat": 2
  },
  {
   "protocol": "dns",
   "path": "/b.example"
  }
 ],
 "seconds": 60,
 "lines": [
  "Waiting for data ..",
  "\u001b[34mcart\u001b[0m {\"a.example\":2,\"b.example\":1}"
 ],
 "metrics": [
  "dns_server{s_endpoint=\"a.example\",s_server=\"cart\"}"
 ],
 "never": [
  "ERROR"
 ]
}
*/
var blue = "\033[34m", reset = "\033[0m", servers = {}, all = {};
function onItemCaptured(data) {
  if (data.protocol.name !== "dns") return;
  var one = servers[data.dst.name] = servers[data.dst.name] || {};
  for (var i = 0; i < data.response.answers.length; i++) {
    var name = data.response.answers[i].name;
    one[name] = (one[name] || 0) + 1;
  }
}
if (utils.nodeName() === "hub") {
  jobs.schedule("report-dns-endpoints", "*/20 * * * * *", function () {
    if (Object.keys(all).length === 0) { console.log("Waiting for data .."); return; }
    for (var server in all) {
      console.log(blue + server + reset, JSON.stringify(all[server]));
      for (var name in all[server]) prometheus.vector("dns_server", "DNS", 1, all[server][name], {s_server: server, s_endpoint: name});
    }
  });
} else {
  jobs.schedule("worker-report-to-hub", "45 * * * * *", function () { hub.action("dns3", servers); servers = {}; });
}
function onHubAction(action, object) { if (action === "dns3") all = wrapper.joinMaps(all, object); }
