// The demo was recorded at 04:16 UTC: nothing is kept of it by day.
//
// @script record_by_schedule.js
// @env FROM_HOUR=8
// @env TO_HOUR=18

it("records nothing outside its hours", function () {
  expect(result.console).toHaveLine("Not recording until 8:00");
  expect(result.recordings).toHaveLength(0);
});
