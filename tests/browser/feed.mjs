// Follows a feed that is faster than a list can be read, in headless Chromium: node feed.mjs TOOLS URL
// Prints one JSON object with what it saw; the test that started it judges.

import { open, watch } from "./common.mjs";

const [tools, url] = process.argv.slice(2);
const browser = await open(tools);
const seen = {};
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.setDefaultTimeout(30000);
  watch(page, url, seen);
  await page.goto(url);
  await page.waitForSelector(".list .row[id]");
  const numbers = () => page.$$eval(".list .row[id]", (rows) => rows.map((row) => Number(row.id.slice(4))));
  const gaps = (list) => list.slice(1).filter((n, at) => n !== list[at] + 1).length;
  const told = (words) => page.waitForFunction((part) => document.querySelector(".told").textContent.includes(part) && !document.querySelector(".told").hidden, words);

  // Too many come: a sample, and a line that says so.
  await told("only a sample is listed");
  seen.sampled = await page.textContent(".told");
  seen.last = (await numbers()).at(-1);
  const held = () => page.evaluate(() => Number(document.querySelector(".list").getAttribute("aria-rowcount")));
  seen.sampleHeld = await held();

  // Whoever scrolls up reads each item, without a gap, and nothing moves.
  await page.hover(".list");
  await page.mouse.wheel(0, -600);
  await told("stands still");
  await page.waitForFunction(() => {
    const list = [...document.querySelectorAll(".list .row[id]")].map((row) => Number(row.id.slice(4)));
    return list.length > 10 && list.slice(1).every((n, at) => n === list[at] + 1);
  });
  const before = await numbers();
  await page.waitForTimeout(1000);
  seen.moved = JSON.stringify(before) !== JSON.stringify(await numbers());
  seen.wholeGaps = gaps(before);

  // And goes on.
  await page.getByRole("button", { name: "Go on" }).click();
  await page.waitForFunction((last) => Number([...document.querySelectorAll(".list .row[id]")].at(-1)?.id.slice(4)) > last, before.at(-1));
  await told("only a sample is listed");
  // A filter that hardly matches is not sampled.
  const area = page.locator(".filter textarea");
  await area.fill('request.questions[0].name == "q7.test"');
  await area.press("Enter");
  await page.waitForSelector(".main-area[data-q*='q7'] .list .row[id]");
  await page.waitForTimeout(1500);
  seen.fewTold = await page.locator(".told").isVisible();
  // As many as the filter asks for come, then the list has ended and says so; so has one of older rows.
  const limited = async (q, rows) => {
    await area.fill(q);
    await area.press("Enter");
    await told("The list has ended");
    await page.waitForFunction((count) => document.querySelector(".list").getAttribute("aria-rowcount") === String(count + 1), rows);
    return page.textContent(".top [role=status]");
  };
  seen.ended = [await limited('request.questions[0].name == "q7.test" and timestamp >= now() and limit(3)', 3)];
  seen.endedTold = await page.textContent(".told");
  await page.waitForTimeout(1500);
  seen.endedHeld = await held();
  seen.ended.push(await limited("dns and limit(700)", 700));
  // Without the limit it goes on.
  await area.fill("dns");
  await area.press("Enter");
  await page.waitForFunction(() => document.querySelector(".top [role=status]").textContent !== "ended");
  const status = await page.evaluate(async () => (await fetch("/api/v1/status")).json());
  seen.counted = Object.values(status.counts.items).reduce((sum, count) => sum + count, 0);
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
