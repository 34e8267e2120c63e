// The demo was recorded at 04:16 UTC, which is night.
//
// @env SCHEDULE_KFL=http

it("records at night", function () {
  expect(result.console).toHaveLine("Recording http until 6:00");
  var scheduled = result.recordings[0];
  expect(scheduled.name).toBe("scheduled");
  expect(scheduled.kfl).toBe("http");
  expect(scheduled.streams).toBeGreaterThan(0);
});
