// Recorder
//
// Says what is to be recorded. The recorder itself does the work: it keeps every stream in which
// something matches, whole, from its handshake to its end, seals it into reels and uploads them.
// So nothing is lost when this script is slow, is changed or fails, and no list of seen streams
// grows in it.
//
//   RECORDING_KFL   what to keep, for example: http and response.status == 500
//                   empty or absent is off; write true to keep everything
//
// Change RECORDING_KFL in the configuration while tapedeck runs, and the recording follows. To have
// more than one recording, call recording.set once for each, with a name of its own; two more are
// given below, in comments.

if (env.RECORDING_KFL && env.RECORDING_KFL.trim() !== "") {
  // A query that cannot be read is told on the console, with the place; what was recorded so far
  // stays as it was.
  if (kfl.validate(env.RECORDING_KFL)) {
    // "recording" is the name that the setting alone would give it: it stays one recording.
    recording.set({ name: "recording", kfl: env.RECORDING_KFL });
    console.log("Recording what matches: " + env.RECORDING_KFL);
  }
} else {
  console.log("RECORDING_KFL is not set, nothing is recorded by this script");
}

// Only errors:
//   recording.set({ name: "errors", kfl: "http and response.status >= 500" });
//
// Name lookups, for a month of "who asked for what":
//   recording.set({ name: "names", kfl: "dns" });
