// The demo has 200 exchanges, eight of which ended with status 500.
//
// @env INFLUXDB_URL=http://influxdb:8086
// @env INFLUXDB_TOKEN=token
// @env INFLUXDB_ORG=shop
// @run-jobs-at-end

it("writes a point for every service and status", function () {
  expect(result.errors).toEqual([]);
  var points = result.sent.map(function (call) {
    expect(call.helper).toBe("vendor.influxdb");
    expect(call.arguments.bucket).toBe("tapedeck");
    expect(call.arguments.measurement).toBe("requests");
    return call.arguments;
  });
  var requests = 0, broken = 0;
  points.forEach(function (point) {
    requests += point.fields.count;
    var status = point.tags.filter(function (tag) {
      return tag[0] === "status";
    })[0][1];
    if (status === "500") broken += point.fields.count;
    expect(point.fields.latency_max).toBeGreaterThan(point.fields.latency_mean - 0.001);
    expect(point.fields.bytes).toBeGreaterThan(0);
  });
  expect(requests).toBe(200);
  expect(broken).toBe(8);
});
