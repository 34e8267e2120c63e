// The demo asks for /items/0 to /items/8, which are one path here.
//
// @run-jobs-at-end

it("takes numbers in paths as one path", function () {
  expect(result.console).toHaveLine(/^GET \/items\/:id: 40 requests, p50 \d+ ms, p99 \d+ ms$/);
  expect(result.console).toHaveLine(/^POST \/orders: 40 requests/);
  expect(result.console).not.toHaveLine("/items/1");
});
