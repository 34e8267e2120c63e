// Top talkers
//
// Prints once a minute who moved the most bytes to whom, by the names that addresses had.
//
//   TOP   how many pairs to print (default 5)

var TOP = Number(env.TOP) || 5;
var MAX_PAIRS = 10000;
var bytes = {};
var pairs = 0;

function side(peer) {
  if (!peer.name) return peer.ip;
  return peer.namespace ? peer.name + "." + peer.namespace : peer.name;
}

function onItemCaptured(data) {
  var pair = side(data.src) + " -> " + side(data.dst) + " " + data.protocol.abbr;
  if (!(pair in bytes)) {
    // A scan of many addresses must not fill the memory: what is new then is not counted.
    if (pairs >= MAX_PAIRS) return;
    pairs++;
    bytes[pair] = 0;
  }
  bytes[pair] += data.requestSize + data.responseSize;
}

jobs.schedule("top-talkers", "0 * * * * *", function () {
  var names = Object.keys(bytes).sort(function (a, b) {
    return bytes[b] - bytes[a];
  });
  names.slice(0, TOP).forEach(function (name, place) {
    console.log(place + 1 + ". " + name + ": " + bytes[name] + " bytes");
  });
  bytes = {};
  pairs = 0;
});
