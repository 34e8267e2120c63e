// Detect DNS tunnels
//
// Data that is smuggled out in DNS is in the names that are asked for: many different long names
// below one domain. Names the client and the domain once, with the stream to look at.
//
//   TUNNEL_NAMES   different long names from which on it is told (default 20)

var NAMES = Number(env.TUNNEL_NAMES) || 20;

// Letters in front of the domain from which on a name is long; names of services are shorter.
var MIN_LETTERS = 40;
var MAX_DOMAINS = 5000;
var seen = {};
var domains = 0;

// The two last labels. A list of public suffixes would be more exact, for "co.uk" say.
function domainOf(name) {
  return name.split(".").slice(-2).join(".");
}

function onItemCaptured(data) {
  if (data.protocol.name !== "dns" || !data.request) return;
  data.request.questions.forEach(function (question) {
    var name = question.name.toLowerCase();
    var domain = domainOf(name);
    if (name.length - domain.length < MIN_LETTERS) return;

    var key = data.src.ip + " " + domain;
    if (!seen[key]) {
      if (domains >= MAX_DOMAINS) return;
      domains++;
      seen[key] = { names: {}, count: 0 };
    }
    var one = seen[key];
    if (one.count >= NAMES || one.names[name]) return;
    one.names[name] = true;
    one.count++;
    if (one.count === NAMES) {
      one.names = {};
      console.error(
        "Perhaps a tunnel: " + (data.src.name || data.src.ip) + " asked for " + NAMES +
          " long names below " + domain + ", last in stream " + data.stream
      );
    }
  });
}

// What is below the limit starts anew each hour; who was told is told again then.
jobs.schedule("forget-dns-names", "0 0 * * * *", function () {
  seen = {};
  domains = 0;
});
