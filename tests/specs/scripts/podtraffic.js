/*
{
 "row": "podtraffic/podtraffic.js",
 "items": [
  {
   "repeat": 2
  }
 ],
 "seconds": 30,
 "lines": [
  "targets 1 n",
  "args first 2",
  "keys 0",
  "ReferenceError"
 ],
 "never": [
  "was stopped"
 ]
}
*/
var ACTIVE = true, pods = {};
if (utils.nodeName() !== "hub") {
  jobs.schedule("report", "*/20 * * * * *", function (word, number) {
    console.log("targets", JSON.parse(hub.targeted()).targets.length, JSON.parse(hub.targeted()).targets[0].spec.nodeName);
    console.log("args", word, number);
    console.log("keys", Object.keys(true).length);
    hub.action("podtraffic", pods);
    joinTheMaps(pods);
  }, 0, "first", 2);
}
function onItemCaptured(data) { pods[data.src.name] = (pods[data.src.name] || 0) + 1; pods[data.dst.name] = 1; }
function onHubAction(action, object) { prometheus.vector("pod_traffic", "Traffic", 1, object.web, {s_pod: "web"}); }
function onJobFailed(tag, cron, limit, err) { console.error(err); }
