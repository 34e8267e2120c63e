// @env RECORDING_KFL=http and response.status == 404

it("records the streams that match and sends nothing by itself", function () {
  expect(result.console).toHaveLine("Recording what matches: http and response.status == 404");
  expect(result.recordings).toHaveLength(1);
  expect(result.recordings[0].streams).toBe(5);
  expect(result.sent).toEqual([]);
});
