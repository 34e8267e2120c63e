// Eight of the demo's 200 exchanges ended with status 500.
//
// @env HAR_KFL=http and response.status == 500
// @env S3_BUCKET=my-bucket
// @env AWS_REGION=eu-central-1
// @run-jobs-at-end

it("uploads one HAR file and keeps none", function () {
  expect(result.uploads).toHaveLength(1);
  expect(result.uploads[0].bucket).toBe("my-bucket");
  expect(result.uploads[0].key).toMatch(/\/exchanges_\d+\.har$/);
  expect(result.files).toEqual({});
  expect(result.console).toHaveLine("Wrote 8 exchanges");
});

it("writes what HAR readers expect", function () {
  var log = JSON.parse(result.uploads[0].text).log;
  expect(log.version).toBe("1.2");
  expect(log.entries).toHaveLength(8);
  var first = log.entries[0];
  expect(first.request.method).toBe("GET");
  expect(first.request.url).toBe("http://cart.shop.example/broken");
  expect(first.response.status).toBe(500);
  expect(isNaN(Date.parse(first.startedDateTime))).toBe(false);
});
