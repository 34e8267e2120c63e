// Eight requests of the demo ended with status 500, all of them to one path.

it("names a path once a minute", function () {
  expect(result.errors).toHaveLength(1);
  expect(result.errors[0]).toMatch(/^500 GET \/broken from 127\.0\.0\.1 to 127\.0\.0\.1 in stream \d+\.pcap$/);
});
