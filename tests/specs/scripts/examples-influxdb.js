/*
{
 "row": "examples/influxdb.js",
 "env": {
  "INFLUXDB_URL": "SERVICE",
  "INFLUXDB_TOKEN": "t",
  "INFLUXDB_ORGANIZATION": "o",
  "INFLUXDB_BUCKET": "b"
 },
 "items": [
  {
   "repeat": 3
  },
  {
   "status": 404
  }
 ],
 "seconds": 40,
 "requests": [
  [
   "POST /api/v2/write?org=o&bucket=b",
   "Status\\ Codes 200=3,404=1 "
  ]
 ]
}
*/
var codes = {};
function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  codes[data.response.status] = (codes[data.response.status] || 0) + 1;
}
jobs.schedule("push-status-codes-to-influx", "0 */1 * * * *", function () {
  if (Object.keys(codes).length === 0) return;
  vendor.influxdb(env.INFLUXDB_URL, env.INFLUXDB_TOKEN, env.INFLUXDB_ORGANIZATION, env.INFLUXDB_BUCKET,
    "Status Codes", codes);
  codes = {};
});
