// Redact
//
// Hides the values of some headers from everybody who looks at items, on the dashboard say. Packets
// and recordings stay as they are.
//
//   REDACT_HEADERS   names, joined by a comma (default: Authorization, Cookie, Set-Cookie)

var HEADERS = (env.REDACT_HEADERS || "Authorization,Cookie,Set-Cookie")
  .split(",")
  .map(function (name) {
    return name.trim().toLowerCase();
  });

function redact(message) {
  var found = false;
  if (!message || !message.headers) return found;
  Object.keys(message.headers).forEach(function (name) {
    if (HEADERS.indexOf(name.toLowerCase()) < 0) return;
    message.headers[name] = "[redacted]";
    found = true;
  });
  // The same values stand there once more.
  if (found && message.cookies) message.cookies = {};
  return found;
}

// What is returned is shown instead of the item; without a return value it is shown as it is.
function onItemQueried(data) {
  var copy = JSON.parse(JSON.stringify(data));
  var request = redact(copy.request);
  var response = redact(copy.response);
  if (request || response) return test.pass(copy);
}
