// The demo asks for three short names, forty times each.

it("leaves ordinary names alone", function () {
  expect(result.errors).toEqual([]);
});
