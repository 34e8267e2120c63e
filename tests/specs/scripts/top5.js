/*
{
 "row": "top5/top5.js",
 "items": [
  {
   "elapsed": 0
  },
  {
   "elapsed": 3
  }
 ],
 "lines": [
  "path: /cart"
 ],
 "never": [
  "ERROR"
 ]
}
*/
if (utils.nodeName() === "hub") console.log("hub");
function targeted() { return JSON.parse(vendor.webhook("GET", "http://kubeshark-hub/pods/targeted", "")).targets; }
function onItemCaptured(data) {
  if (data.protocol.name !== "http" || data.elapsedTime != 0) return;
  console.log(utils.json2Yaml(JSON.stringify({path: data.request.path, ms: data.elapsedTime})));
}
