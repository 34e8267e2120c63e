// Export to InfluxDB
//
// Writes a point for every service and status once a minute: how many requests there were, how long
// they took on average and at most, and how many bytes they moved. Points are sums of a minute, so
// busy traffic does not fill the database.
//
//   INFLUXDB_URL           the server, for example http://influxdb:8086
//   INFLUXDB_TOKEN         a token that may write; empty for a server without sign-in
//   INFLUXDB_ORG           the organisation
//   INFLUXDB_BUCKET        the bucket; in InfluxDB 1.x the database (default tapedeck)
//   INFLUXDB_MEASUREMENT   name of the measurement (default requests)

var BUCKET = env.INFLUXDB_BUCKET || "tapedeck";
var MEASUREMENT = env.INFLUXDB_MEASUREMENT || "requests";

// Each makes a point a minute.
var MAX_SERIES = 1000;
var series = {};

function onItemCaptured(data) {
  var key = [data.dst.name || data.dst.ip, data.dst.namespace, data.response.status].join("|");
  var sum = series[key];
  if (!sum) {
    if (Object.keys(series).length >= MAX_SERIES) return;
    sum = series[key] = {
      tags: {
        service: data.dst.name || data.dst.ip,
        namespace: data.dst.namespace,
        status: data.response.status,
      },
      fields: { count: 0, latency_sum: 0, latency_max: 0, bytes: 0 },
    };
  }
  var fields = sum.fields;
  fields.count += 1;
  fields.latency_sum += data.elapsedTime;
  fields.latency_max = Math.max(fields.latency_max, data.elapsedTime);
  fields.bytes += data.requestSize + data.responseSize;
}
onItemCaptured.kfl = "http";

function write() {
  var all = Object.keys(series).map(function (key) {
    return series[key];
  });
  series = {};
  all.forEach(function (sum) {
    var fields = sum.fields;
    fields.latency_mean = fields.latency_sum / fields.count;
    vendor.influxdb(
      env.INFLUXDB_URL, env.INFLUXDB_TOKEN, env.INFLUXDB_ORG, BUCKET, MEASUREMENT, fields, sum.tags
    );
  });
}

if (env.INFLUXDB_URL) jobs.schedule("influx-export", "0 * * * * *", write);
else console.error("INFLUXDB_URL is not set, nothing is exported");
