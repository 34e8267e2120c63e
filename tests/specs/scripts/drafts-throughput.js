/*
{
 "row": "drafts/throughput.js",
 "env": {
  "SLACK_AUTH_TOKEN": "xoxb-123456",
  "SLACK_CHANNEL_ID": "C1"
 },
 "items": [
  {
   "path": "/pcap/1",
   "repeat": 3
  },
  {}
 ],
 "seconds": 60,
 "requests": [
  [
   "POST /slack/chat.postMessage",
   "/pcap.*\/i",
   "#ff0000"
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
var patterns = [/pcap.*/i], counts = {};
function onItemCaptured(data) {
  if (!data.request) return;
  patterns.forEach(function (pattern) {
    if (pattern.test(data.request.path)) counts["" + pattern] = (counts["" + pattern] || 0) + 1;
  });
}
jobs.schedule("check-api-throughput", "20 * * * * *", function () {
  for (var pattern in counts) {
    if (counts[pattern] > 2)
      vendor.slackBot(env.SLACK_AUTH_TOKEN, env.SLACK_CHANNEL_ID, "Throughput", pattern + ": " + counts[pattern], "#ff0000");
  }
  counts = {};
});
