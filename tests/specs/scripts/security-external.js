/*
{
 "row": "security/ns-ext-conns.js",
 "items": [
  {
   "namespace": "shop"
  },
  {
   "src": "x",
   "namespace": ""
  }
 ],
 "seconds": 20,
 "lines": [
  "\u001b[31mweb\u001b[0m",
  "not blocked"
 ]
}
*/
var seen = {}, rules = [/^we/], red = "[31m", reset = "[0m";
function onItemCaptured(data) {
  if (data.src.namespace === "" || data.src.processId > 0 && !data.src.processName) return;
  rules.forEach(function (rule) { if (rule.test(data.src.name)) seen[data.src.name + "|" + data.dst.ip + "|" + data.src.pod] = 1; });
}
jobs.schedule("print-processes", "*/20 * * * * *", function () {
  if (utils.nodeName() === "hub") return;
  for (var key in seen) {
    console.log(red + key.split("|")[0] + reset + "\n");
    try { hub.blockPod(key.split("|")[0], "shop"); } catch (error) { console.error(error); }
  }
});
