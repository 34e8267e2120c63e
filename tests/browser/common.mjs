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

// Serious findings of axe, in a page that lets it be put in; `prepare` by view brings it into a state.
export async function axe(browser, tools, url, seen, prepare) {
  const rules = readFileSync(path.join(tools, "node_modules/axe-core/axe.min.js"), "utf8");
  seen.axe ??= [];
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width: 1400, height: 860 }, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForSelector(".list .row[id]");
    for (const [name, act] of Object.entries(prepare)) {
      await view(page, name);
      await act(page);
      await page.waitForTimeout(300);
      await page.evaluate(rules);
      const { violations } = await page.evaluate(() => axe.run());
      const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      seen.axe.push(...bad.map(({ id, nodes }) => `${colorScheme} ${name}: ${id}: ${nodes[0].html.slice(0, 200)}`));
    }
    await context.close();
  }
}
