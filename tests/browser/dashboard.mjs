// Drives the dashboard in headless Chromium: node dashboard.mjs TOOLS URL FOLDER ROW
// ROW is a text of the row that is opened; the downloaded capture and pictures go to FOLDER.
// Prints one JSON object with what it saw; the test that started it judges.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { still, until } from "./common.mjs";

const [tools, url, folder, wanted] = process.argv.slice(2);
const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const seen = { errors: [], dialogs: 0, foreign: [], messages: 0 };
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
  page.on("websocket", (socket) => socket.on("framereceived", () => (seen.messages += 1)));
  await page.goto(url);
  seen.urlAfter = page.url();
  await page.waitForSelector(".list .row", { timeout: 20000 });
  // What is listed, as soon as that is all of the source.
  await until(page, async () => {
    const { counts } = await (await fetch("/api/v1/status")).json();
    const { rows } = await (await fetch("/api/v1/items?limit=1000")).json();
    return counts.ended && rows.length > 0 && document.querySelectorAll(".list .row[id]").length === rows.length;
  });
  const rowTexts = () => page.$$eval(".list .row", (rows) => rows.map((row) => row.textContent));
  seen.rows = (await rowTexts()).length;
  seen.text = (await rowTexts()).join("\n");

  await page.waitForSelector(".dot.on", { timeout: 5000 });

  const area = page.locator("textarea");
  await area.fill("http and (");
  await page.waitForSelector("textarea.invalid", { timeout: 5000 });
  seen.invalid = await page.textContent(".say");
  await area.press("Enter");
  seen.urlAfterInvalid = page.url();

  await area.fill("http && status_cod == 1");
  await page.waitForFunction(() => document.querySelector(".under mark")?.textContent, null, { timeout: 5000 });
  seen.underlined = await page.textContent(".under mark");
  await area.fill("http && status_c");
  await page.waitForFunction(() => document.querySelector(".proposals li")?.textContent.startsWith("status_code"), null, { timeout: 5000 });
  seen.proposed = await page.locator(".proposals li").first().textContent();
  await area.press("ArrowDown");
  await area.press("Enter");
  seen.completed = await area.inputValue();

  await area.fill("http and response.status == 500");
  await area.press("Enter");
  await page.waitForURL(/500/);
  const only = async (text) => page.waitForFunction((wantedText) => {
    const rows = [...document.querySelectorAll(".list .row")];
    return rows.length > 0 && rows.every((row) => row.textContent.includes(wantedText));
  }, text, { timeout: 5000 });
  await only("500");
  seen.filtered = await rowTexts();
  seen.filteredUrl = page.url();

  await area.fill("http");
  await area.press("Control+Enter");
  await page.waitForSelector(".main-area[data-q='http'] .list .row[id]");
  const row = page.locator(".list .row", { hasText: wanted }).first();
  await row.click();
  await page.waitForSelector(".details .fold");
  await page.getByRole("tab", { name: "Request" }).click();
  seen.request = await page.textContent(".details");
  await page.screenshot({ path: path.join(folder, "light.png") });
  await page.getByRole("tab", { name: "Response" }).click();
  seen.response = await page.textContent(".details");
  seen.responseBody = await page.locator(".details pre").first().textContent().catch(() => "");
  await page.getByRole("tab", { name: "Raw" }).click();
  seen.raw = await page.textContent(".details pre");
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(".details a", { hasText: "PCAP" }).click()]);
  await download.saveAs(path.join(folder, "stream.pcap"));
  seen.pcapName = download.suggestedFilename();

  // A value that is clicked narrows the filter, and keys move through the rows.
  await page.locator(".details header .badge.clause", { hasText: "stream" }).click();
  await page.waitForURL((to) => (to.searchParams.get("q") ?? "").includes("stream =="));
  seen.clicked = new URL(page.url()).searchParams.get("q");
  await page.waitForSelector(".list .row");
  await page.locator(".list").focus();
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.querySelector('.list [aria-selected="true"]')?.getAttribute("aria-rowindex") === "2");
  seen.keyMoved = (await page.locator('.list [aria-selected="true"]').count()) === 1;
  await page.waitForFunction(() => location.search.includes("item="));

  // The link alone brings filter, item and tab back.
  const link = page.url();
  const title = await page.textContent(".details h2");
  await page.goto(link);
  await page.waitForFunction((wantedTitle) => document.querySelector(".details h2")?.textContent === wantedTitle && document.querySelector(".details pre"), title);
  seen.linked = (await page.textContent(".details h2")) === title
    && (await area.inputValue()) === seen.clicked && page.url() === link;

  await page.getByRole("button", { name: "Pause" }).click();
  seen.paused = await page.textContent(".top [role=status]");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.waitForSelector(".dot.on");
  // The order stays when the list goes on.
  await page.getByRole("columnheader", { name: "Took" }).getByRole("button").click();
  await page.waitForURL((to) => to.searchParams.get("sort") === "-took");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Resume" }).click();
  seen.sorted = { word: await page.textContent(".top [role=status]"), link: new URL(page.url()).searchParams.get("sort") };
  await page.getByRole("button", { name: "Newest first again" }).click();
  await page.waitForURL((to) => !to.searchParams.has("sort"));
  await page.waitForSelector(".dot.on");
  seen.roles = {
    grid: await page.getByRole("grid", { name: "Items" }).count(),
    filter: await page.getByRole("textbox", { name: "KFL filter" }).count(),
    tabs: await page.locator(".details").getByRole("tab").count(),
    views: await page.locator(".views").getByRole("tab").count(),
  };
  // Values of rows narrow the filter too; in the other dialect the clause is of that dialect.
  const plus = async (q, cell) => {
    await area.fill(q);
    await area.press("Enter");
    await page.waitForSelector(`.main-area[data-q='${q}'] .list .row[id]`);
    await page.locator(".list .row[id]").first().locator(cell).first().hover();
    const tip = await page.getAttribute(".list .plus:not([hidden])", "title");
    // At whichever place a value is pointed at, the plus is beside the pointer.
    const box = await page.locator(".list .row[id]").first().locator(cell).first().boundingBox();
    for (const x of [box.x + 1, box.x + 9, box.x + box.width - 9, box.x + box.width - 1]) {
      await page.mouse.move(0, 0);
      await page.mouse.move(x, box.y + box.height / 2);
      await page.waitForSelector(".list .plus:not([hidden])");
      seen.covered ||= await page.evaluate(([x, y]) => document.elementFromPoint(x, y).matches(".plus"), [x, box.y + box.height / 2]);
    }
    await page.click(".list .plus");
    await page.waitForFunction((before) => document.querySelector(".main-area").dataset.q !== before, q);
    await page.waitForSelector(".list .row[id]");
    return { tip, q: new URL(page.url()).searchParams.get("q"), rows: (await rowTexts()).length };
  };
  seen.covered = false;
  seen.plusOfFirst = await plus("http", ".method");
  seen.plusOfSecond = await plus("http && status_code > 100", ".status");
  seen.plusOfPart = await plus("http", ".part");
  await page.locator(".list .row[id]").first().click();
  await area.fill("http && status_code > 200");
  await area.press("Enter");
  await page.waitForSelector(".main-area[data-q='http && status_code > 200'] .list .row[id]");
  await page.locator(".list .row[id]").first().click();
  await page.locator(".details").getByRole("tab", { name: "Request" }).click();
  await page.locator(".details tr", { hasText: "method" }).locator(".clause").first().click();
  await page.waitForURL((to) => / && .*&&/.test(to.searchParams.get("q") ?? ""));
  seen.clickedInSecond = new URL(page.url()).searchParams.get("q");
  // What somebody folded stays folded, bodies have lines with numbers, values are copied.
  const fold = page.locator(".details .fold", { hasText: "headers" }).first();
  await fold.locator("summary").click();
  seen.folded = !(await fold.evaluate((node) => node.open));
  await area.fill("");
  await area.press("Enter");
  await page.waitForSelector(".main-area[data-q=''] .list .row[id]");
  await page.locator(".list .row", { hasText: wanted }).first().click();
  await page.waitForSelector(".details .fold");
  seen.stillFolded = !(await page.locator(".details .fold", { hasText: "headers" }).first().evaluate((node) => node.open));
  await page.locator(".details .fold", { hasText: "headers" }).first().locator("summary").click();
  await page.locator(".details").getByRole("tab", { name: "Response" }).click();
  await page.getByRole("group", { name: "Body as" }).getByRole("button", { name: "lines" }).click();
  seen.numbered = await page.textContent(".details .numbered .gutter");

  // All of what matches as files.
  await page.getByRole("button", { name: "Save\u2026" }).click();
  const saved = async (name) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).click()]);
    await file.saveAs(path.join(folder, file.suggestedFilename()));
    return file.suggestedFilename();
  };
  seen.savedPackets = await saved("Packets (.tar.gz)");
  seen.savedRows = await saved("Rows (.csv)");
  seen.csv = readFileSync(path.join(folder, seen.savedRows), "utf8");
  await page.locator("dialog[open]").getByRole("button", { name: "Close" }).click();

  // The frame: details below the list, times of this computer, bars by protocol.
  const choose = async (name) => {
    await page.locator(".menu > summary").click();
    await page.locator(".menu").getByRole("button", { name }).click();
  };
  const places = () => page.evaluate(() => [".list", ".details"].map((one) => document.querySelector(one).getBoundingClientRect()).map(({ top, left }) => ({ top, left })));
  const [before, beside] = await places();
  await choose(/^Details/);
  const [above, below] = await places();
  seen.layout = { beside: beside.left > before.left, stacked: below.top > above.top && below.left === above.left };
  await choose(/^Details/);
  await choose(/^Times/);
  seen.local = new URL(page.url()).searchParams.get("tz");
  await choose(/^Times/);
  await page.getByLabel("Bars by").selectOption("protocol");
  await page.waitForFunction(() => /HTTP/.test(document.querySelector(".cover-keys").textContent));
  seen.barsBy = await page.textContent(".cover-keys");
  await page.getByLabel("Bars by").selectOption("status");

  await page.locator(".details").getByRole("tab", { name: "Packets" }).click();
  await page.waitForSelector(".packets tbody tr");
  seen.packets = await page.locator(".packets tbody tr").count();
  await page.locator(".packets tbody tr", { hasText: "PSH" }).first().click();
  seen.hex = await page.textContent("pre.hex");
  await page.locator(".details").getByRole("tab", { name: "Conversation" }).click();
  await page.waitForSelector(".turn");
  seen.turns = await page.$$eval(".turn", (turns) => turns.map((turn) => turn.textContent));

  // What came before the failure, although the filter shows failures alone; and back to one of them.
  await area.fill("response.status >= 500");
  await area.press("Enter");
  await page.waitForSelector(".main-area[data-q='response.status >= 500'] .list .row[id]");
  await page.locator(".list .row[id]").first().click();
  await page.locator(".details").getByRole("tab", { name: "Before" }).click();
  await page.waitForSelector(".details section h3");
  seen.before = await page.textContent(".details [role=tabpanel]");

  // The other views speak of the same filter, and lead back to the items.
  const view = (name) => page.locator(".views").getByRole("tab", { name, exact: true }).click();
  await area.fill("http");
  await area.press("Enter");
  await page.waitForURL((to) => to.searchParams.get("q") === "http");
  await page.waitForSelector('.timeline[data-q="http"]');
  seen.timeline = await page.textContent(".timeline .said");
  await view("Endpoints");
  await page.waitForSelector(".grid tbody tr");
  seen.endpoints = await page.$$eval(".grid tbody tr", (rows) => rows.map((one) => one.textContent));
  await page.locator(".grid tbody tr").first().click();
  await page.waitForSelector('.main-area[data-q]:not([data-q="http"]) .list .row');
  seen.ofEndpoint = { q: new URL(page.url()).searchParams.get("q"), rows: await rowTexts() };
  await area.fill("http");
  await area.press("Enter");
  await page.waitForURL((to) => to.searchParams.get("q") === "http");
  await view("Map");
  await page.waitForSelector(".map .nodes circle");
  seen.map = { nodes: await page.$$eval(".map .nodes text", (names) => names.map((name) => name.textContent)), edges: await page.locator(".map .edges path").count() };
  await view("Compare");
  await page.waitForSelector(".grid tbody tr");
  seen.compared = await page.locator(".tools .said").textContent();
  // A value of an endpoint decides nothing about where the others stand.
  seen.apart = await page.locator(".grid tbody tr").first().locator("td").first().locator("bdi").count();
  await view("Health");
  await page.waitForSelector(".stage");
  seen.health = await page.textContent(".road");
  await view("Recordings");
  await page.waitForSelector(".page .empty h2");
  seen.recordings = await page.textContent(".page");
  await page.getByRole("form", { name: "Try a recording" }).getByLabel("What to record").fill("response.status == 500");
  // What was there before is tried on until the new query is read.
  await page.waitForSelector('.tried[data-q="response.status == 500"] b');
  seen.tried = await page.getByRole("form", { name: "Try a recording" }).locator(".tried").textContent();
  await view("Scripts");
  await page.waitForSelector(".page.scripts");
  await view("Traffic");
  await page.waitForSelector(".list .row");
  // A window of 1280 to 720 at twice the size: every view keeps its room, and the page scrolls to it.
  await page.setViewportSize({ width: 640, height: 360 });
  seen.low = {};
  for (const name of await page.locator(".views").getByRole("tab").allTextContents()) {
    await view(name);
    seen.low[name] = await page.locator(".hold").evaluate((hold) => {
      hold.scrollIntoView({ block: "start" });
      const { top, bottom } = hold.getBoundingClientRect();
      return Math.min(innerHeight, bottom) - Math.max(0, top);
    });
  }
  await view("Traffic");
  await page.locator(".list .row[id]").last().locator(".status").click();
  await page.waitForSelector(".details h2");
  seen.lowDetails = await page.locator(".details").evaluate((one) => {
    one.scrollIntoView({ block: "start" });
    return Math.min(innerHeight, one.getBoundingClientRect().bottom) - one.getBoundingClientRect().top;
  });
  await page.keyboard.press("Escape");
  await page.setViewportSize({ width: 1400, height: 860 });
  seen.cookie = (await page.context().cookies()).map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }));
  await choose(/^Theme/);
  await page.screenshot({ path: path.join(folder, "dark.png") });
  seen.state = await page.textContent(".state");

  // Accessibility, by axe, in a page that lets it be put in.
  const rules = readFileSync(path.join(tools, "node_modules/axe-core/axe.min.js"), "utf8");
  seen.axe = [];
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width: 1400, height: 860 }, colorScheme, bypassCSP: true });
    const other = await context.newPage();
    // Without a token there is a page that asks for one; a wrong one does not stay in the address.
    await other.goto(`${new URL(url).origin}/?token=of-another-run&q=dns`);
    await other.waitForFunction(() => document.querySelector("#said").textContent);
    seen.wrongToken = { said: await other.textContent("#said"), query: new URL(other.url()).search };
    await other.goto(new URL(url).origin);
    await other.evaluate(rules);
    const asked = await other.evaluate(() => axe.run());
    seen.axe.push(...asked.violations.map(({ id, nodes }) => `${colorScheme} sign in: ${id}: ${nodes[0].html.slice(0, 200)}`));
    await other.getByLabel("Token").fill("wrong-0123456789");
    await other.getByRole("button", { name: "Sign in" }).click();
    await other.waitForFunction(() => document.querySelector("#said").textContent);
    seen.notSignedIn = await other.textContent("#said");
    await other.getByLabel("Token").fill(new URL(url).searchParams.get("token"));
    await other.getByRole("button", { name: "Sign in" }).click();
    await other.waitForSelector(".list .row");
    seen.signedInAt = other.url();
    for (const name of await other.locator(".views").getByRole("tab").allTextContents()) {
      await other.locator(".views").getByRole("tab", { name, exact: true }).click();
      if (name === "Traffic") await other.locator(".list .row").first().click();
      await still(other);
      await other.evaluate(rules);
      const { violations } = await other.evaluate(() => axe.run());
      const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      seen.axe.push(...bad.map(({ id, nodes }) => `${colorScheme} ${name}: ${id}: ${nodes[0].html.slice(0, 200)}`));
    }
    await other.locator(".menu > summary").click();
    await other.getByRole("button", { name: "Sign out" }).click();
    await other.getByLabel("Token").waitFor();
    seen.signedOut = await other.evaluate(async () => (await fetch("/api/v1/status")).status);
    await context.close();
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
