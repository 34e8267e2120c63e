/*
{
 "row": "examples/empty.js",
 "items": [
  {}
 ],
 "packets": 2,
 "query": "http",
 "never": [
  "ERROR"
 ]
}
*/
function onItemCaptured(data) {}
function onPacketCaptured(info) {}
function onItemQueried(data) {}
