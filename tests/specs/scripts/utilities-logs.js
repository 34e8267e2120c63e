/*
{
 "row": "utilities/logs.js",
 "pod": {
  "event": "ADDED",
  "pod": {
   "metadata": {
    "name": "kubeshark-hub",
    "labels": {
     "app.kubernetes.io/name": "kubeshark"
    },
    "creationTimestamp": "2024-02-03T04:05:06Z"
   }
  }
 },
 "log": {
  "level": "warning",
  "msg": "{\"time\":\"t\",\"message\":\"slow\",\"level\":\"warning\",\"worker\":\"n\"}"
 },
 "lines": [
  "ADDED kubeshark-hub 2024-02-03T04:05:06Z",
  "slow worker=n"
 ],
 "never": [
  "ERROR"
 ]
}
*/
if (utils.nodeName() === "hub") console.clear();
function onPodEvent(event, pod) {
  if (!pod.ObjectMeta.Labels || pod.ObjectMeta.Labels["app.kubernetes.io/name"] !== "kubeshark") return;
  console.log(event, pod.ObjectMeta.Name, JSON.parse(JSON.stringify(pod.ObjectMeta)).CreationTimestamp);
}
function onLogCall(level, msg) {
  if (level !== "warning" && level !== "error") return;
  var record = typeof msg === "string" ? JSON.parse(msg) : msg, text = record.message;
  delete record.time; delete record.message; delete record.level;
  for (var key in record) text += " " + key + "=" + record[key];
  console.log(text);
}
