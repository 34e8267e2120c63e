// Record by schedule
//
// Records what matches a query at certain hours only, at night say.
//
//   SCHEDULE_KFL         what to keep (default: everything)
//   FROM_HOUR, TO_HOUR   from when to when, UTC (default 22 to 6)

var FROM = env.FROM_HOUR === undefined ? 22 : Number(env.FROM_HOUR);
var TO = env.TO_HOUR === undefined ? 6 : Number(env.TO_HOUR);
var QUERY = env.SCHEDULE_KFL || "true";

function start() {
  recording.set({ name: "scheduled", kfl: QUERY });
  console.log("Recording " + QUERY + " until " + TO + ":00");
}

// A recording without a query is off; what was kept is sealed and stays.
function stop() {
  recording.set({ name: "scheduled", kfl: "" });
  console.log("Not recording until " + FROM + ":00");
}

function isTime(hour) {
  return FROM <= TO ? hour >= FROM && hour < TO : hour >= FROM || hour < TO;
}

if (isTime(new Date().getUTCHours())) start();
else stop();

jobs.schedule("start-recording", "0 0 " + FROM + " * * *", start);
jobs.schedule("stop-recording", "0 0 " + TO + " * * *", stop);
