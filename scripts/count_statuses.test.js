// @run-jobs-at-end

it("counts the statuses of the demo", function () {
  expect(result.console).toHaveLine("Statuses of the last minute: 200: 107, 201: 40, 204: 40, 404: 5, 500: 8");
});
