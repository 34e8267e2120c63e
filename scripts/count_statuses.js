// Count HTTP statuses
//
// Prints once a minute how many responses had each status.

var counts = {};

function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  var status = data.response.status;
  counts[status] = (counts[status] || 0) + 1;
}

jobs.schedule("count-statuses", "0 * * * * *", function () {
  var statuses = Object.keys(counts).sort();
  if (statuses.length === 0) return;
  var parts = statuses.map(function (status) {
    return status + ": " + counts[status];
  });
  console.log("Statuses of the last minute: " + parts.join(", "));
  counts = {};
});
