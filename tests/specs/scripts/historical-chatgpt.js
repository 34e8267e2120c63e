/*
{
 "row": "sample ChatGPT script, onJobPassed and onJobFailed",
 "items": [
  {}
 ],
 "query": "http",
 "seconds": 3,
 "lines": [
  "Msg: {",
  "fine true",
  "failed bad * * * * * * 1 Error: no"
 ],
 "never": [
  "hook="
 ]
}
*/
function onItemQueried(data) {
  delete data.passed;
  var answer = chatgpt.prompt("key", "Is this fine? " + data.request.path, 50);
  console.log(answer, chatgpt.sentiment(answer).pos > 0);
  return data.passed === undefined ? test.pass(data) : data;
}
function onItemCaptured(data) { console.log("Msg:", data); }
function onJobFailed(tag, cron, limit, err) { console.log("failed", tag, cron, limit, err); }
jobs.schedule("bad", "* * * * * *", function () { throw new Error("no"); }, 1);
