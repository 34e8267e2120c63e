/*
{
 "row": "early influx/kpi scripts",
 "env": {
  "INFLUXDB_URL": "SERVICE",
  "INFLUXDB_TOKEN": "t",
  "INFLUXDB_ORG": "o",
  "INFLUXDB_BUCKET": "kpis",
  "INFLUXDB_MEASUREMENT": "calls"
 },
 "items": [
  {
   "repeat": 2
  }
 ],
 "lines": [
  "{\"rate\":0}"
 ],
 "requests": [
  [
   "POST /api/v2/write?org=o&bucket=kpis",
   "calls,service=cart latency=12 "
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
var rate = 0;
console.log(JSON.stringify(this));
function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  rate++;
  vendor.influxdb(env.INFLUXDB_URL, env.INFLUXDB_TOKEN, env.INFLUXDB_ORG, env.INFLUXDB_BUCKET, env.INFLUXDB_MEASUREMENT,
    {latency: data.elapsedTime}, {service: data.dst.name});
}
