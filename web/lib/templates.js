// What new scripts begin with. A test runs each through the checker of scripts.

export const TEMPLATES = {
  item: {
    title: "every item",
    code: `// Title of the script
//
// What it does.

function onItemCaptured(data) {
  console.log(data.protocol.name);
}
`,
  },
  failures: {
    title: "failures, told to a webhook",
    code: `// Tells failures
//
// Posts every server error to WEBHOOK_URL, once a minute at most.

var last = 0;

function onItemCaptured(data) {
  if (data.protocol.name !== "http" || !data.response || data.response.status < 500) return;
  var now = Date.now();
  if (!env.WEBHOOK_URL || now - last < 60000) return;
  last = now;
  vendor.webhook("POST", env.WEBHOOK_URL, JSON.stringify({ path: data.request.path, status: data.response.status, from: data.src.name, to: data.dst.name }));
}
`,
  },
  counts: {
    title: "counts, told by a job",
    code: `// Counts answers
//
// Prints once a minute how many answers of each status there were.

var counts = {};

function onItemCaptured(data) {
  if (data.protocol.name !== "http" || !data.response) return;
  counts[data.response.status] = (counts[data.response.status] || 0) + 1;
}

jobs.schedule("counts", "0 * * * * *", function () {
  console.log(JSON.stringify(counts));
  counts = {};
});
`,
  },
  test: {
    title: "rows that pass or fail",
    code: `// Marks rows
//
// A row is green when its answer came within 500 ms, and red when it did not.

function onItemQueried(data) {
  return data.elapsedTime <= 500 ? test.pass(data) : test.fail(data);
}
`,
  },
};
