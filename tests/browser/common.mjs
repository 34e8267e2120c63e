// What drivers of the browser share: the browser, what must not happen on any page, axe.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

export async function open(tools) {
  const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
}

// What each page shows, for whoever reads why a driver failed.
export async function told(browser) {
  for (const page of browser.contexts().flatMap((context) => context.pages())) {
    const text = await page.evaluate(() => document.body.innerText).catch(String);
    console.error(`${page.url()} shows:\n${text.slice(0, 6000)}\n`);
    if (process.env.TAPEDECK_SHOT) await page.screenshot({ path: `${process.env.TAPEDECK_SHOT}${Date.now()}.png` }).catch(String);
  }
}

// Notes errors and requests to elsewhere in `seen`; answers with a status in `expected` are none.
export function watch(page, url, seen, expected = []) {
  seen.errors ??= [];
  seen.foreign ??= [];
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => {
    const refused = expected.some((status) => message.text().includes(`status of ${status}`));
    if (message.type() === "error" && !refused) seen.errors.push(message.text());
  });
  const host = new URL(url).host;
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.host !== host && to.protocol !== "data:") seen.foreign.push(request.url());
  });
}

export const view = (page, name) => page.locator(".views").getByRole("tab", { name, exact: true }).click();

// Waits until `ask`, which runs in the page and may ask the server, answers something true.
export async function until(page, ask, argument, patience = 30000) {
  for (const late = Date.now() + patience; ; await page.waitForTimeout(50)) {
    // A promise is true by itself where functions are waited for.
    const found = await page.evaluate(ask, argument);
    if (found) return found;
    if (Date.now() > late) throw new Error(`not within ${patience} ms: ${ask}`);
  }
}

// Waits until nothing on the page moves or fades: colours on their way have another contrast.
export const still = (page) => page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== "running"));

// Serious findings of axe, in a page that lets it be put in, light and large, dark and small. `prepare` brings
// each view into a state, or into several: "Traffic: packets" is one of Traffic.
export async function axe(browser, tools, url, seen, prepare) {
  const rules = readFileSync(path.join(tools, "node_modules/axe-core/axe.min.js"), "utf8");
  seen.axe ??= [];
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: colorScheme === "light" ? { width: 1400, height: 860 } : { width: 1024, height: 600 }, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForSelector(".list .row[id]");
    for (const [name, act] of Object.entries(prepare)) {
      await view(page, name.split(":")[0]);
      await act(page);
      await still(page);
      await page.evaluate(rules);
      const { violations } = await page.evaluate(() => axe.run());
      const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      seen.axe.push(...bad.map(({ id, nodes }) => `${colorScheme} ${name}: ${id}: ${nodes[0].html.slice(0, 200)}`));
    }
    await context.close();
  }
}

// Goes through the views that speak of the filter, and the details of an item, over any source with HTTP;
// answers what each showed.
export async function round(page) {
  const seen = {};
  const area = page.locator(".filter textarea");
  const filter = async (q) => {
    await area.fill(q);
    await area.press("Enter");
    await page.waitForURL((to) => (to.searchParams.get("q") ?? "") === q);
  };
  const query = () => new URL(page.url()).searchParams.get("q");
  await view(page, "Traffic");
  await filter("http");
  await page.waitForSelector(".main-area[data-q='http'] .list .row[id]");
  await page.locator(".list .row[id]").last().click();
  const tab = (name) => page.locator(".details").getByRole("tab", { name, exact: true }).click();
  await tab("Both");
  await page.waitForSelector(".details .both .fold");
  seen.both = await page.textContent(".details");
  await tab("Packets");
  await page.waitForSelector(".packets tbody tr");
  seen.packets = await page.locator(".packets tbody tr").count();
  await tab("Conversation");
  await page.waitForSelector(".turn");
  seen.turns = await page.$$eval(".turn h3", (turns) => turns.map((one) => one.firstChild.textContent));
  await tab("Timing");
  await page.waitForSelector(".waterfall tr");
  await tab("Request");

  // A drag over the timeline narrows the time, and the button takes it back.
  await page.waitForSelector(".timeline[data-q='http'] .u-over");
  const box = await page.locator(".timeline .u-over").boundingBox();
  await page.mouse.move(box.x + box.width * 0.2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + box.height / 2, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL((to) => /timestamp >=/.test(to.searchParams.get("q") ?? ""));
  seen.dragged = query();
  await page.getByRole("button", { name: "Whole time" }).click();
  await page.waitForURL((to) => to.searchParams.get("q") === "http");

  await view(page, "Endpoints");
  await page.waitForSelector(".grid tbody tr");
  seen.endpoints = await page.locator(".grid tbody tr").count();
  await page.getByLabel("Group by").selectOption("status");
  await page.locator(".grid tbody tr", { hasText: /^HTTP 500/ }).click();
  await page.waitForURL((to) => /status == 500/.test(to.searchParams.get("q") ?? ""));
  seen.ofGroup = query();
  await filter("http");
  await view(page, "Map");
  await page.waitForSelector(".map .nodes circle");
  seen.map = await page.locator(".tools .said").textContent();
  await page.getByLabel("Labels are").selectOption("rate");
  await page.waitForFunction(() => /\/s/.test(document.querySelector(".map .edges text")?.textContent ?? ""));
  await page.locator(".legend input").first().uncheck();
  await page.waitForFunction(() => /Everybody is hidden/.test(document.querySelector(".page.map .empty")?.textContent ?? "") || document.querySelectorAll(".map .edges path").length > 0);
  await page.getByRole("button", { name: "Show all" }).click();
  await page.waitForSelector(".map .edges path");
  await page.locator(".map .edges g").first().press("Enter");
  await page.waitForURL((to) => /src\./.test(to.searchParams.get("q") ?? ""));
  seen.ofEdge = query();
  await filter("http");
  // A flow opens its connections, and one of these leads to its items.
  await view(page, "Flows");
  await page.waitForSelector(".flows .grid[aria-label=Flows] tbody tr");
  seen.flows = await page.locator(".tools .said").textContent();
  await page.locator(".grid[aria-label=Flows] tbody tr").first().press("Enter");
  await page.waitForSelector(".flows .card:not([hidden]) tbody tr");
  seen.connection = await page.locator(".flows .card tbody tr").first().textContent();
  await page.locator(".flows .card tbody tr").first().press("Enter");
  await page.waitForURL((to) => /stream ==/.test(to.searchParams.get("q") ?? "") && !to.searchParams.get("view"));
  await page.waitForSelector(".list .row[id]");
  seen.ofConnection = query();
  await filter("http");
  await view(page, "Compare");
  await page.waitForSelector(".grid tbody tr");
  seen.compared = await page.locator(".tools .said").last().textContent();
  await view(page, "Health");
  await page.waitForSelector(".stage");
  seen.health = await page.textContent(".road");
  await filterless(page);
  return seen;
}

// Back to all items.
async function filterless(page) {
  await view(page, "Traffic");
  await page.locator(".filter textarea").fill("");
  await page.locator(".filter textarea").press("Enter");
  await page.waitForSelector(".main-area[data-q=''] .list .row[id]");
}
