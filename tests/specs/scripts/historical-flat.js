/*
{
 "row": "scripts of February 2023",
 "env": {
  "WEBHOOK_URL": "SERVICE/hook"
 },
 "items": [
  {
   "path": "/health"
  }
 ],
 "seconds": 70,
 "lines": [
  "WEBHOOK_URL",
  "tick",
  "passed tick 0 *\/1 * * * * 0"
 ],
 "requests": [
  [
   "POST /hook",
   "down"
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
console.log(CONSTS);
function capturedItem(data) { if (data.request.path === "/health") webhook("POST", WEBHOOK_URL, "down"); pass(data); }
function passedJob(tag, cron, limit) { console.log("passed", tag, cron, limit); }
jobs.schedule("Tick", "0 */1 * * * *", function () { console.log("tick"); });
JSON.stringify(this);
