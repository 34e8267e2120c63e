/*
{
 "row": "security/processes.js",
 "items": [
  {
   "repeat": 2
  }
 ],
 "seconds": 20,
 "lines": [
  "web cgroup 0: 2"
 ],
 "never": [
  "ERROR"
 ]
}
*/
var processes = {};
function onItemCaptured(data) {
  var key = data.src.name + " cgroup " + data.src.cgroupId;
  processes[key] = (processes[key] || 0) + 1;
}
jobs.schedule("print-processes", "*/20 * * * * *", function () {
  for (var key in processes) console.log(key + ": " + processes[key]);
  processes = {};
});
