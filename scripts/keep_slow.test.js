// No exchange of the demo took a minute.
//
// @env SLOW_MS=60000

it("keeps no stream that is quick", function () {
  expect(result.recordings).toHaveLength(1);
  expect(result.recordings[0].name).toBe("slow");
  expect(result.recordings[0].streams).toBe(0);
});
