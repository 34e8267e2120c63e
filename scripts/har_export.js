// HAR export
//
// Writes the HTTP exchanges of each minute to a HAR 1.2 file, which browsers and testing tools read,
// and uploads it when there is a bucket.
//
//   HAR_KFL                 which exchanges (default: http)
//   S3_BUCKET, AWS_REGION   where to upload; without a bucket the file stays in the data folder

var QUERY = env.HAR_KFL || "http";
var MAX_ENTRIES = 1000;
var entries = [];

function pairs(map) {
  return Object.keys(map || {}).map(function (name) {
    return { name: name, value: String(map[name]) };
  });
}

function entry(data) {
  var request = data.request;
  var response = data.response;
  var host = request.headers.Host || data.dst.name || data.dst.ip + ":" + data.dst.port;
  return {
    startedDateTime: data.startTime,
    time: data.elapsedTime,
    request: {
      method: request.method,
      url: "http://" + host + request.url,
      httpVersion: request.httpVersion,
      headers: pairs(request.headers),
      cookies: pairs(request.cookies),
      queryString: pairs(request.queryString),
      headersSize: -1,
      bodySize: request.bodySize,
    },
    response: {
      status: response.status,
      statusText: response.statusText,
      httpVersion: response.httpVersion,
      headers: pairs(response.headers),
      cookies: pairs(response.cookies),
      content: { size: response.content.size, mimeType: response.content.mimeType },
      redirectURL: response.redirectURL,
      headersSize: -1,
      bodySize: response.bodySize,
    },
    cache: {},
    timings: { send: 0, wait: data.elapsedTime, receive: 0 },
    comment: data.stream,
  };
}

function onItemCaptured(data) {
  if (entries.length >= MAX_ENTRIES) return;
  if (data.protocol.name !== "http" || !data.request || !data.response) return;
  if (kfl.match(QUERY, data)) entries.push(entry(data));
}

jobs.schedule("export-har", "0 * * * * *", function () {
  if (entries.length === 0) return;
  var har = { log: { version: "1.2", creator: { name: "tapedeck", version: "1" }, entries: entries } };
  var path = "exchanges_" + Math.floor(Date.now() / 1000) + ".har";
  file.write(path, JSON.stringify(har));
  console.log("Wrote " + entries.length + " exchanges to " + path);
  entries = [];
  if (env.S3_BUCKET) {
    vendor.s3.put(env.S3_BUCKET, path, env.AWS_REGION);
    file.delete(path);
  }
});
