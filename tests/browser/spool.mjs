// Looks at rows of an earlier run, which the spool has, in headless Chromium: node spool.mjs TOOLS URL
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
  const at = new URL(url);
  await page.goto(`${at.origin}/?place=spool&q=${encodeURIComponent('request.path == "/first"')}`);
  const row = page.locator(".list .row[id^='row--']").last();
  await row.click();
  const bytes = async () => {
    await page.waitForSelector(".packets tbody tr");
    const rows = page.locator(".packets tbody tr");
    const pressed = await rows.allTextContents();
    // The first packet with a payload is the request.
    await rows.nth(pressed.findIndex((text) => /PSH/.test(text))).click();
    // What stands beside the numbers.
    return (await page.textContent(".details pre.hex")).split("\n").map((line) => line.slice(57)).join("");
  };
  seen.details = await page.textContent(".details h2");
  seen.bytes = await bytes();
  seen.chosen = await page.locator(".list .row[aria-selected=true]").textContent();
  await page.locator(".details").getByRole("button", { name: "Copy link" }).waitFor();
  const link = page.url();
  if (!new URL(link).searchParams.get("item").startsWith("spool/")) seen.errors.push(`no item in ${link}`);
  await page.goto("about:blank");
  await page.goto(link);
  seen.bytesAgain = await bytes();
  await page.waitForSelector(".list .row[aria-selected=true]");
  seen.chosenAgain = await page.locator(".list .row[aria-selected=true]").textContent();
  const other = new URL(link);
  other.searchParams.set("item", other.searchParams.get("item").replace(/[0-9a-f]+$/, "0"));
  await page.goto("about:blank");
  await page.goto(String(other));
  await page.waitForFunction(() => /no longer/.test(document.querySelector(".details")?.textContent ?? ""));
  seen.gone = await page.textContent(".details");
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
