// Reads a bucket of recordings in headless Chromium: node archive.mjs TOOLS URL STORE
// Prints one JSON object with what it saw; the test that started it judges.

import { axe, open, round, view, watch } from "./common.mjs";

const [tools, url, store] = process.argv.slice(2);
const browser = await open(tools);
const seen = {};
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.setDefaultTimeout(30000);
  watch(page, url, seen);
  await page.goto(url);
  await page.waitForSelector(".list .row[id]");
  seen.rows = await page.locator(".list .row[id]").count();
  await page.waitForSelector(".cover-keys .reel");
  seen.cover = await page.textContent(".cover-keys");
  await view(page, "Archive");
  await page.waitForSelector(".reels .reel");
  seen.stores = await page.$$eval('select[aria-label="Store"] option', (all) => all.map((one) => one.value));
  const reel = page.locator(".reels .reel", { hasText: "errors" }).first();
  seen.reel = await reel.textContent();
  await reel.getByRole("button", { name: "Open", exact: true }).click();
  await page.waitForSelector(".main-area[data-q*='timestamp'] .list .row[id]");
  seen.opened = await page.locator(".filter textarea").inputValue();

  // Every other view over the same bucket.
  seen.round = await round(page);
  await view(page, "Recordings");
  await page.getByRole("form", { name: "Try a recording" }).getByLabel("What to record").fill("response.status == 500");
  await page.waitForSelector('.tried[data-q="response.status == 500"] b');
  seen.tried = await page.getByRole("form", { name: "Try a recording" }).locator(".tried").textContent();
  await view(page, "Scripts");
  await page.waitForSelector(".page.scripts .empty");
  seen.scripts = await page.textContent(".page.scripts .empty");
  await view(page, "Audit");
  await page.waitForSelector(".grid tbody tr");
  seen.audit = await page.textContent(".grid");

  // A link that was made elsewhere says so.
  const link = new URL(page.url());
  link.searchParams.set("source", "s3://elsewhere/");
  await page.goto(link.href);
  await page.waitForSelector(".note");
  seen.otherLink = await page.textContent(".note");

  await axe(browser, tools, url, seen, {
    Traffic: (one) => one.locator(".list .row[id]").first().click(),
    "Traffic: packets": async (one) => {
      await one.locator(".details").getByRole("tab", { name: "Packets", exact: true }).click();
      await one.waitForSelector(".packets tbody tr");
    },
    "Traffic: conversation": async (one) => {
      await one.locator(".details").getByRole("tab", { name: "Conversation", exact: true }).click();
      await one.waitForSelector(".turn");
    },
    "Traffic: raw": (one) => one.locator(".details").getByRole("tab", { name: "Raw", exact: true }).click(),
    Health: (one) => one.waitForSelector(".stage"),
    Endpoints: (one) => one.waitForSelector(".grid tbody tr"),
    Map: (one) => one.waitForSelector(".map .nodes circle"),
    Compare: (one) => one.waitForSelector(".grid tbody tr"),
    Recordings: (one) => one.waitForSelector("#trial-kfl"),
    Archive: (one) => one.waitForSelector(".reels .reel"),
  });
} finally {
  await browser.close();
}
console.log(JSON.stringify({ ...seen, store }));
