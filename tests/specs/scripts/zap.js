/*
{
 "row": "zap-proxy/zap.js",
 "env": {
  "ZAP_SERVER_URL": "SERVICE",
  "ZAP_APIKEY": "key"
 },
 "items": [
  {
   "repeat": 2
  }
 ],
 "seconds": 40,
 "requests": [
  [
   "POST /upload",
   "n-2024-02-03T01-00-00",
   "\"version\": \"1.2\""
  ],
  [
   "GET /import/?file=/answer"
  ]
 ],
 "lines": [
  "imported"
 ],
 "never": [
  "[n-0:ERROR]"
 ]
}
*/
var batch = [];
function onItemCaptured(data) { if (data.Protocol && data.Protocol.Name == "http") batch.push(data); }
jobs.schedule("zap-export", "*/60 * * * * *", function () {
  if (batch.length === 0) return;
  var name = utils.nodeName() + "-" + new Date().toISOString().replace(/[:.]/g, "-") + ".har";
  var answer = vendor.webhookForm("POST", env.ZAP_SERVER_URL + "/upload", {fileContents: wrapper.buildHAR(batch), fileName: name, apikey: env.ZAP_APIKEY});
  batch = [];
  var result = vendor.webhook("GET", env.ZAP_SERVER_URL + "/import/?file=/" + Object.keys(JSON.parse(answer))[0]);
  console.log("imported", result);
});
