/*
{
 "row": "telemetry/elastic_traffic_logs.js",
 "env": {
  "ELASTIC_INDEX": "i",
  "ELASTIC_CLOUD_ID": "c",
  "ELASTIC_API_ID": "k"
 },
 "items": [
  {}
 ],
 "never": [
  "ERROR"
 ],
 "lines": [
  "loaded"
 ]
}
*/
var ACTIVE = false, query = "http or dns";
function onItemCaptured(data) {
  if (!ACTIVE) return;
  try { if (query.match(query, data)) vendor.elastic("", env.ELASTIC_INDEX, data, "", "", env.ELASTIC_CLOUD_ID, env.ELASTIC_API_ID); }
  catch (error) { console.error(error); }
}
console.log("loaded");
