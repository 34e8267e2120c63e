// Keep slow streams
//
// Has the recording "slow" take every stream in which an exchange took longer than SLOW_MS
// (default 1000). The whole stream is kept, also what came before the slow exchange.

var SLOW_MS = Number(env.SLOW_MS) || 1000;

// A recording that nothing matches by itself: streams come in by recording.take alone.
recording.set({ name: "slow", kfl: "false" });

function onItemCaptured(data) {
  if (data.elapsedTime >= SLOW_MS) {
    recording.take(data.stream, "slow");
  }
}
