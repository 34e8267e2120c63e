/*
{
 "row": "drafts/hub-worker.js",
 "items": [
  {}
 ],
 "seconds": 2,
 "lines": [
  "[hub-0] hi {\"n\":1}"
 ],
 "never": [
  "ERROR"
 ]
}
*/
if (utils.nodeName() !== "hub") jobs.schedule("hi", "* * * * * *", function () { hub.action("hi", {n: 1}); }, 1);
function onHubAction(action, object) { console.log(action, JSON.stringify(object)); }
