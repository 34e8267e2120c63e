// Every request of the demo has a User-Agent, and nothing that is redacted by default.
//
// @env REDACT_HEADERS=user-agent

it("marks each item in which it redacted something", function () {
  expect(result.items).toBe(320);
  expect(result.tests.passed).toBe(200);
  expect(result.tests.failed).toBe(0);
});
