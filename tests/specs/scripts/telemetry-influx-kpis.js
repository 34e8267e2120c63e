/*
{
 "row": "telemetry/influx_db_kpis.js",
 "env": {
  "INFLUXDB_URL": "SERVICE",
  "INFLUXDB_TOKEN": "t",
  "INFLUXDB_ORG": "o"
 },
 "items": [
  {
   "repeat": 2
  }
 ],
 "requests": [
  [
   "POST /api/v2/write?org=o&bucket=Kubeshark",
   "callKPIs,dst\\ ip=10.0.0.2,dst\\ port=80,node=n,path=/cart,src=web latency=12,status=200,bandwidth=300 "
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
if (!env.INFLUXDB_URL) console.error("INFLUXDB_URL is not set");
function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  vendor.influxdb(env.INFLUXDB_URL, env.INFLUXDB_TOKEN, env.INFLUXDB_ORG, "Kubeshark", "callKPIs",
    {latency: data.elapsedTime, status: data.response.status, bandwidth: data.requestSize + data.responseSize},
    {"dst ip": data.dst.ip, "dst port": data.dst.port, src: data.src.name, path: data.request.path, node: data.node.name, none: undefined});
}
