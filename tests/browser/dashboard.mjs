// Drives the dashboard in headless Chromium: node dashboard.mjs TOOLS URL SCREENSHOT
// Prints one JSON object with what it saw; the test that started it judges.

import { createRequire } from "node:module";
import path from "node:path";

const [tools, url, screenshot] = process.argv.slice(2);
const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const seen = { errors: [], dialogs: 0, foreign: [] };
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.on("dialog", (dialog) => {
    seen.dialogs += 1;
    dialog.dismiss();
  });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  const host = new URL(url).host;
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.host !== host && to.protocol !== "data:") seen.foreign.push(request.url());
  });
  await page.goto(url);
  seen.urlAfter = page.url();
  await page.waitForSelector(".list .row", { timeout: 20000 });
  const rowTexts = () => page.$$eval(".list .row", (rows) => rows.map((row) => row.textContent));
  seen.rows = (await rowTexts()).length;
  seen.text = (await rowTexts()).join("\n");

  const area = page.locator("textarea");
  await area.fill("http and response.status == 500");
  await area.press("Enter");
  await page.waitForFunction(() => location.search.includes("500"));
  await page.waitForTimeout(400);
  seen.filtered = await rowTexts();

  await area.fill("http and and");
  await page.waitForSelector("textarea.invalid", { timeout: 5000 });
  seen.invalid = await page.textContent(".say");

  await area.fill("http");
  await area.press("Control+Enter");
  await page.waitForFunction(() => location.search.includes("q=http") && !location.search.includes("500"));
  await page.waitForSelector(".list .row");
  await page.locator(".list .row").first().click();
  await page.waitForSelector(".details section");
  seen.details = await page.textContent(".details");
  await page.getByRole("tab", { name: "Response" }).click();
  seen.response = await page.textContent(".details");
  await page.getByRole("tab", { name: "Raw" }).click();
  seen.raw = await page.textContent(".details pre");
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(".details a", { hasText: "PCAP" }).click()]);
  seen.pcap = await download.path();
  seen.pcapName = download.suggestedFilename();
  const { copyFileSync } = await import("node:fs");
  copyFileSync(seen.pcap, `${screenshot}.pcap`);
  await page.getByRole("tab", { name: "Request" }).click();
  await page.screenshot({ path: screenshot });
  seen.link = page.url();
  seen.cookie = (await page.context().cookies()).map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }));
  await page.locator(".top button", { hasText: "Theme" }).click();
  await page.screenshot({ path: screenshot.replace(".png", "-dark.png") });
  seen.state = await page.textContent(".state");
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
