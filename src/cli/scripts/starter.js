// @TITLE@
//
// The first line is the script's title. Say here what it does and which settings it reads.
//
//   SLOW_MS   what counts as slow, in milliseconds (scripting.env.SLOW_MS)
//
// Try it on a capture:   tapedeck run @FILE@ --pcap capture.pcap --watch
// Look for mistakes:     tapedeck scripts check @FILE@

var SLOW_MS = Number(env.SLOW_MS) || 1000;
var slow = 0;

// Called for every request with its response, and for every single message. The types in
// tapedeck.d.ts say what data holds; hooks that a script does not define cost nothing.
/** @type {Hooks["onItemCaptured"]} */
function onItemCaptured(data) {
  if (data.elapsedTime >= SLOW_MS) {
    slow++;
    console.log(data.protocol.abbr, "took", data.elapsedTime, "ms in stream", data.stream);
  }
}
// Which items the hook is told, in the same language as in the dashboard; the rest never reaches the
// script. kfl.match(query, data) asks about one item.
onItemCaptured.kfl = "http or dns";

// Runs at second 0 of every minute: second, minute, hour, day of month, month, day of week.
jobs.schedule("@TAG@", "0 * * * * *", function () {
  if (slow === 0) return;
  console.log(slow + " slow exchanges in the last minute");
  slow = 0;
});
