/*
{
 "row": "utilities/no-traffic-pods.js",
 "lines": [
  "Hello",
  "\"name\":\"web\""
 ],
 "never": [
  "ERROR"
 ]
}
*/
console.log("Hello");
var pods = JSON.parse(vendor.webhook("GET", "http://kubeshark-hub/pods/targeted", ""));
console.log(JSON.stringify(pods));
