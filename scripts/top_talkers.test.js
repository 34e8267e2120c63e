// The demo's client talks HTTP and DNS to one server, all on loopback.
//
// @run-jobs-at-end

it("prints pairs, the one with the most bytes first", function () {
  expect(result.console).toHaveLine(/^1\. 127\.0\.0\.1 -> 127\.0\.0\.1 HTTP: \d+ bytes$/);
  expect(result.console).toHaveLine(/^2\. 127\.0\.0\.1 -> 127\.0\.0\.1 DNS: \d+ bytes$/);
  expect(result.errors).toEqual([]);
});
