/*
{
 "row": "specs/helpers.js, specs/hooks.js",
 "items": [
  {}
 ],
 "pod": {
  "event": "ADDED",
  "pod": {
   "metadata": {
    "name": "a"
   }
  }
 },
 "never": [
  "ERROR"
 ]
}
*/
// Nothing but comments, and hooks without a body.
function onItemCaptured(data) {
  // data.src.name
}
function onHubAction(action, object) {}
function onPodEvent(event, pod) {
  /* pod.ObjectMeta.Name */
}
