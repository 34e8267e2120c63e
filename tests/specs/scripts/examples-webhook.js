/*
{
 "row": "examples/webhook.js",
 "env": {
  "WEBHOOK_URL": "SERVICE/hook"
 },
 "items": [
  {
   "path": "/health"
  },
  {}
 ],
 "requests": [
  [
   "POST /hook",
   "\"path\":\"/health\""
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
function onItemCaptured(data) {
  if (data.protocol.name == "http" && data.request.path === "/health")
    vendor.webhook("POST", env.WEBHOOK_URL, data);
}
