/*
{
 "row": "networkerrors/networkerrors.js",
 "items": [
  {
   "error": "no response",
   "repeat": 2
  },
  {}
 ],
 "seconds": 10,
 "lines": [
  "[hub-0:ERROR]",
  "web.shop:\n  no response: 2"
 ],
 "never": [
  "[n-0:ERROR]"
 ]
}
*/
if (utils.nodeName() == "hub") throw "Script should not run on the hub";
var errors = {};
function onItemCaptured(data) {
  if (data.protocol.name != "http" || !data.error) return;
  var source = data.src.name + "." + data.src.namespace;
  if (!(source in errors)) errors[source] = {};
  errors[source][data.error.msg] = (errors[source][data.error.msg] || 0) + 1;
}
jobs.schedule("print-report", "*/10 * * * * *", function () { console.log(utils.json2Yaml(JSON.stringify(errors))); errors = {}; });
