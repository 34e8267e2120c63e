// Filters that redact and that end, and a map of one node, in headless Chromium: node steered.mjs TOOLS URL
// Prints one JSON object with what it saw; the test that started it judges.

import { axe, open, view, watch } from "./common.mjs";

const [tools, url] = process.argv.slice(2);
const browser = await open(tools);
const seen = {};
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.setDefaultTimeout(30000);
  watch(page, url, seen);
  await page.goto(url);
  await page.waitForSelector(".list .row[id]");
  const area = page.locator(".filter textarea");
  const filter = async (q) => {
    await area.fill(q);
    await area.press("Enter");
    await page.waitForFunction((text) => document.querySelector(".main-area").dataset.q === text && document.querySelector(".list .row[id]"), q);
  };
  const details = page.locator(".details");
  const tab = (name) => details.getByRole("tab", { name, exact: true }).click();
  const raw = async () => {
    await tab("Raw");
    return page.textContent(".details pre");
  };
  const says = (words) => page.waitForFunction((part) => document.querySelector(".details pre")?.textContent.includes(part), words);
  const state = () => page.textContent(".top [role=status]");

  // What the filter redacts is redacted in the details too, also of an item that it would not list.
  const hide = 'redact("response.content.text", "request.postData")';
  await filter(`http and ${hide} and timestamp < now()`);
  await page.locator(".list .row", { hasText: "/orders" }).click();
  await details.locator(".fold").first().waitFor();
  seen.redacted = await raw();
  seen.json = await details.getByRole("link", { name: "JSON alone" }).getAttribute("href");
  await tab("Packets");
  seen.packets = await page.textContent(".details .empty");
  await tab("Conversation");
  seen.conversation = await page.textContent(".details .empty");
  seen.pcap = await details.getByRole("link", { name: "PCAP" }).getAttribute("aria-disabled");
  await tab("Before");
  await details.locator("section h3").first().waitFor();
  seen.before = await details.locator("section h3 button").first().getAttribute("title");
  await raw();
  // The link, opened by somebody else.
  const link = page.url();
  await page.goto(link);
  await says("[REDACTED]");
  seen.linked = await page.textContent(".details pre");
  // Without the redaction what is open is read again, and with it once more.
  await filter("http");
  await page.waitForFunction(() => JSON.parse(document.querySelector(".details pre")?.textContent ?? "{}").response?.content.encoding === "base64" && !document.querySelector(".details pre").textContent.includes("[REDACTED]"));
  await filter(`${hide} and http and response.status == 500`);
  await says("[REDACTED]");
  seen.again = await page.textContent(".details pre");

  // A list that ended says so, whatever is paused and resumed.
  await page.keyboard.press("Escape");
  await filter("http and limit(2)");
  await page.waitForSelector(".told:not([hidden])");
  seen.ended = { rows: await page.locator(".list .row[id]").count(), told: await page.textContent(".told"), states: [await state()] };
  for (const name of ["Pause", "Resume"]) {
    await page.getByRole("button", { name, exact: true }).click();
    seen.ended.states.push(await state());
  }
  await filter("http and limit(3)");
  await page.waitForFunction(() => document.querySelector(".told").textContent.includes("limit(3)"));
  await filter("http");
  await page.waitForSelector(".told", { state: "hidden" });
  await page.waitForFunction(() => document.querySelector(".top [role=status]").textContent !== "ended");
  seen.goesOn = { rows: await page.locator(".list .row[id]").count(), state: await state() };

  // A flow with its connections, closed with the keys: who was there is there again.
  await view(page, "Flows");
  await page.locator(".grid[aria-label=Flows] tbody tr").first().press("Enter");
  await page.waitForSelector(".flows .card:not([hidden]) tbody tr");
  seen.flow = { title: await page.textContent(".flows .card h2 span"), connections: await page.locator(".flows .card tbody tr").count() };
  await page.keyboard.press("Escape");
  seen.flow.closed = await page.evaluate(() => document.querySelector(".flows .card").hidden && document.activeElement.closest("table")?.getAttribute("aria-label"));

  // All in one node: the label of its line to itself stands clear of it. Labels tell traffic by direction.
  await view(page, "Map");
  const drawn = page.waitForResponse((response) => response.url().includes("by=namespace"));
  await page.getByLabel("Nodes are").selectOption("namespace");
  const { edges } = await (await drawn).json();
  seen.edge = edges[0];
  await page.waitForFunction(() => document.querySelectorAll(".map .nodes circle").length === 1);
  seen.loop = await page.evaluate(() => {
    const [line, label, whole] = [".map .edges path", ".map .edges text", ".page.map > svg"].map((one) => document.querySelector(one).getBoundingClientRect());
    return { above: line.top - label.bottom, inside: label.top - whole.top, beside: label.left - line.left };
  });
  seen.labels = {};
  for (const name of ["bytes", "requestBytes", "responseBytes"]) {
    await page.getByLabel("Labels are").selectOption(name);
    seen.labels[name] = await page.textContent(".map .edges text");
  }
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}-loop.png` });
  await axe(browser, tools, url, seen, {
    Traffic: async (one) => {
      const box = one.locator(".filter textarea");
      await box.fill(`${hide} and limit(1)`);
      await box.press("Enter");
      await one.waitForSelector(".told:not([hidden])");
      await one.locator(".list .row[id]").first().click();
      await one.locator(".details").getByRole("tab", { name: "Packets" }).click();
      await one.waitForSelector(".details .empty");
    },
    Flows: async (one) => {
      await one.locator(".grid[aria-label=Flows] tbody tr").first().click();
      await one.waitForSelector(".flows .card:not([hidden]) tbody tr");
    },
    Map: async (one) => {
      await one.getByLabel("Nodes are").selectOption("namespace");
      await one.waitForFunction(() => document.querySelectorAll(".map .nodes circle").length === 1);
    },
  });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
