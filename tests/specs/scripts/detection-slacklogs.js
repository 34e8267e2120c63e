/*
{
 "row": "detection/slacklogs.js",
 "env": {
  "SLACK_AUTH_TOKEN": "xoxb-123456",
  "SLACK_CHANNEL_ID": "C1"
 },
 "items": [
  {
   "status": 500,
   "repeat": 5
  }
 ],
 "lines": [
  "Message sent to Slack channel: C1",
  "syntax"
 ],
 "requests": [
  [
   "POST /slack/chat.postMessage",
   "\"value\":\"shop\""
  ]
 ]
}
*/
var triggers = [{kfl: "http and response.status == 500", gap: 60000, last: 0}, {kfl: "http and ==", gap: 1, last: 0}];
function onItemCaptured(data) {
  triggers.forEach(function (trigger) {
    if (!kfl.validate(trigger.kfl, true)) { console.error("syntax: " + trigger.kfl); return; }
    if (!kfl.match(trigger.kfl, data) || Date.now() - trigger.last < trigger.gap) return;
    trigger.last = Date.now();
    var path = file.temp("data", "", "json"), files = {"data.json": path};
    file.write(path, JSON.stringify(data, null, 2));
    files[data.stream] = pcap.path(data.stream);
    vendor.slackBot(env.SLACK_AUTH_TOKEN, env.SLACK_CHANNEL_ID, "Alert", trigger.kfl, "#ff0000",
      {Service: data.dst.name, Namespace: data.namespace, Node: data.node.name, Path: data.request.path}, files);
    file.delete(path);
  });
}
