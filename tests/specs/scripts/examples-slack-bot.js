/*
{
 "row": "examples/slack_bot.js",
 "env": {
  "SLACK_AUTH_TOKEN": "xoxb-123456",
  "SLACK_CHANNEL_ID": "C1"
 },
 "items": [
  {},
  {
   "status": 500
  }
 ],
 "requests": [
  [
   "POST /slack/files.getUploadURLExternal",
   "000000000001.pcap"
  ],
  [
   "POST /up"
  ],
  [
   "POST /slack/files.getUploadURLExternal",
   "data.json"
  ],
  [
   "POST /up",
   "\"status\": 500"
  ],
  [
   "POST /slack/chat.postMessage",
   "/cart",
   "shop",
   "Timestamp"
  ],
  [
   "POST /slack/files.completeUploadExternal",
   "F1"
  ]
 ],
 "lines": [
  "Message sent to Slack channel: C1 at 1.2",
  "Shared file: 000000000001.pcap",
  "Shared file: data.json"
 ],
 "never": [
  "ERROR"
 ]
}
*/
function onItemCaptured(data) {
  if (data.protocol.name !== "http" || data.response.status !== 500) return;
  var files = {};
  files[data.stream] = pcap.path(data.stream);
  var path = file.temp("data", "", "json");
  file.write(path, JSON.stringify(data, null, 2));
  files["data.json"] = path;
  vendor.slackBot(SLACK_AUTH_TOKEN, SLACK_CHANNEL_ID, "Server-side Error in Kubernetes Cluster",
    "An HTTP request resulted with " + data.response.status, "#ff0000",
    {"Service": data.dst.name, "Namespace": data.namespace, "Node": data.node.name,
     "HTTP method": data.request.method, "HTTP path": data.request.path}, files);
  file.delete(path);
}
