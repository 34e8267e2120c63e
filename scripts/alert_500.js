// Alert on server errors
//
// Prints a line for each response of 500 and above, with who asked whom for what and the stream to
// look at. An endless row of errors must not flood the console, so a path is named once a minute.

var QUIET_MS = 60 * 1000;
var MAX_PATHS = 1000;
var told = {};

function onItemCaptured(data) {
  var path = data.request.path;
  var now = Date.now();
  if (told[path] && now - told[path] < QUIET_MS) return;
  if (Object.keys(told).length >= MAX_PATHS) told = {};
  told[path] = now;

  console.error(
    data.response.status,
    data.request.method,
    path,
    "from " + (data.src.name || data.src.ip) + " to " + (data.dst.name || data.dst.ip),
    "in stream " + data.stream
  );
}
// Other items never reach this script.
onItemCaptured.kfl = "http and response.status >= 500";
