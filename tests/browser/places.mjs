// Looks at a store beside a live run in headless Chromium: node places.mjs TOOLS URL STORE
// Prints one JSON object with what it saw; the test that started it judges.

import { axe, open, view, watch } from "./common.mjs";

const [tools, url, store] = process.argv.slice(2);
const pictures = process.env.PICTURES;
const browser = await open(tools);
const seen = { foreignToPlace: [] };
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.setDefaultTimeout(30000);
  watch(page, url, seen);
  const picture = async (name) => {
    if (!pictures) return;
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${pictures}/${name}-${colorScheme}.png` });
    }
  };
  await page.goto(url);
  // A live run lists what comes from now on.
  await page.locator(".filter textarea").fill("");
  await page.locator(".filter textarea").press("Enter");
  await page.waitForSelector(".main-area[data-q=''] .list .row[id]");
  await page.waitForSelector(".timeline[data-q='']");
  const source = page.getByLabel("Source", { exact: true });
  const said = (part) => page.waitForFunction((text) => document.querySelector(".timeline .said").textContent.includes(text), part);

  // From here on what sums up is asked of the store alone.
  await source.selectOption(store);
  await page.waitForSelector(".list .row[id^='row--']");
  const summing = /\/api\/v1\/(timeline|groups|map|flows|items|item|packets|coverage)\b/;
  const strange = (request) => {
    const to = new URL(request.url());
    if (summing.test(to.pathname) && to.searchParams.get("place") !== store) seen.foreignToPlace.push(request.url());
  };
  page.on("request", strange);
  await said("6 items");
  seen.timeline = await page.textContent(".timeline .said");
  seen.where = await page.textContent(".where");
  seen.state = await page.textContent(".state");
  await page.locator(".list .row[id^='row--']").last().click();
  await page.locator(".details .fold").first().waitFor();
  seen.details = await page.textContent(".details h2");
  await page.locator(".details").getByRole("tab", { name: "Packets", exact: true }).click();
  await page.waitForSelector(".packets tbody tr");
  seen.packets = await page.locator(".packets tbody tr").count();
  await page.locator(".details").getByRole("tab", { name: "Before", exact: true }).click();
  await page.waitForSelector(".details section h3");
  await picture("place-traffic");

  // Details are of one place; Back leads to them again.
  page.off("request", strange);
  await source.selectOption("");
  await page.waitForSelector(".main-area.alone");
  await page.waitForURL((to) => !to.searchParams.has("item") && !to.searchParams.has("place"));
  await page.goBack();
  await page.waitForURL((to) => to.searchParams.has("item") && to.searchParams.get("place") === store);
  await page.waitForSelector(".details section h3");
  await page.waitForSelector(".list .row[id^='row--']");
  page.on("request", strange);
  await page.keyboard.press("Escape");
  await view(page, "Endpoints");
  await page.waitForSelector(".grid tbody tr");
  seen.endpoints = await page.locator(".tools .said").textContent();
  await picture("place-endpoints");
  await view(page, "Map");
  await page.waitForSelector(".map .nodes circle");
  seen.map = await page.locator(".tools .said").textContent();
  await page.locator(".map .menu summary").click();
  await picture("place-map");
  await page.locator(".map .menu").getByRole("button", { name: "None", exact: true }).click();
  await page.waitForFunction(() => /Everybody is hidden/.test(document.querySelector(".page.map .empty")?.textContent ?? ""));
  await page.locator(".map .menu").getByRole("button", { name: "All", exact: true }).click();
  await page.waitForSelector(".map .nodes circle");
  await page.keyboard.press("Escape");
  await view(page, "Flows");
  await page.waitForSelector(".grid[aria-label=Flows] tbody tr");
  seen.flows = await page.locator(".tools .said").textContent();
  const column = async (name) => {
    const titles = await page.locator(".grid[aria-label=Flows] thead th").allTextContents();
    return page.locator(".grid[aria-label=Flows] tbody tr").first().locator("td").nth(titles.findIndex((title) => title.startsWith(name)));
  };
  const packets = await column("Packets");
  seen.flowPackets = await packets.textContent();
  seen.flowTitle = await packets.locator("span").getAttribute("title");
  await picture("place-flows");
  await view(page, "Compare");
  await page.waitForFunction(() => /items before/.test([...document.querySelectorAll(".tools .said")].at(-1)?.textContent ?? ""));
  seen.compared = await page.locator(".tools .said").last().textContent();
  for (const name of ["Health", "Scripts", "Recordings", "Archive"]) {
    await view(page, name);
    seen[`about${name}`] = await page.textContent(".where");
  }
  await picture("place-archive");
  await view(page, "Endpoints");
  await page.waitForSelector(".grid tbody tr");
  const link = page.url();
  page.off("request", strange);

  // Spools are listed and not summed up; the view stays while the place is another.
  await source.selectOption("spool");
  await page.waitForFunction(() => /not summed up/.test(document.querySelector(".page .empty")?.textContent ?? ""));
  seen.spoolEndpoints = await page.textContent(".page .empty");
  seen.spoolTimeline = await page.textContent(".timeline .said");
  await picture("place-spool");

  // A link brings place and view back.
  await page.goto(link);
  await page.waitForSelector(".grid tbody tr");
  await said("6 items");
  seen.linked = await page.textContent(".timeline .said");
  await view(page, "Flows");
  await page.locator(".where").getByRole("button", { name: "Back to the live run" }).click();
  await said("10 items");
  seen.back = await page.textContent(".timeline .said");
  await page.waitForFunction(() => /5 connections/.test(document.querySelector(".tools .said").textContent));
  seen.livePackets = await (await column("Packets")).textContent();
  await picture("live-flows");

  // What was typed and not applied stays when another place is chosen.
  const box = page.locator(".filter textarea");
  await box.fill("dns");
  await source.selectOption(store);
  await said("6 items");
  seen.typed = { box: await box.inputValue(), applied: new URL(page.url()).searchParams.get("q") ?? "" };

  // A link to a flow that is not there, and one with a filter that is none, say so.
  await page.goto(`${new URL(url).origin}/?${new URLSearchParams({ q: "", place: store, view: "flows", flow: "tcp nowhere" })}`);
  await page.waitForSelector(".flows .note:not([hidden])");
  seen.missed = await page.textContent(".flows .note");
  const other = await (await browser.newContext({ storageState: await page.context().storageState() })).newPage();
  watch(other, url, seen, [400]);
  await other.goto(`${new URL(url).origin}/?${new URLSearchParams({ q: "http and (", place: store, sort: "-took" })}`);
  await other.waitForFunction(() => document.querySelector(".timeline .said").textContent.includes("not valid"));
  seen.notValid = await other.textContent(".filter .say");
  await other.waitForSelector(".list-holder .empty.trouble");
  await other.waitForTimeout(300);
  seen.notListed = { word: await other.textContent(".top [role=status]"), told: await other.textContent(".told") };

  // A store that cannot be read is not an empty one.
  const why = "s3:ListBucket on s3://secret is denied for access key a; grant it";
  await other.route("**/api/v1/search?*", (route) => route.fulfill({ json: { rows: [], next: null, missing: [{ what: store, why }] } }));
  await other.goto(`${new URL(url).origin}/?${new URLSearchParams({ q: "", place: store })}`);
  await other.waitForSelector(".list-holder .empty.trouble");
  seen.denied = await other.textContent(".list-holder .empty.trouble");
  seen.deniedBelow = await other.textContent(".state .wrong");
  await other.unroute("**/api/v1/search?*");
  await other.locator(".list-holder .trouble").getByRole("button", { name: "Try again" }).click();
  await other.waitForSelector(".list .row[id]");
  await other.close();

  const there = async (one) => {
    await one.getByLabel("Source", { exact: true }).selectOption(store);
    await one.waitForSelector(".where:not([hidden])");
  };
  const first = new URL(url);
  first.searchParams.set("q", "");
  await axe(browser, tools, link.replace(/[?].*/, `?${new URLSearchParams({ token: first.searchParams.get("token"), q: "http", place: store })}`), seen, {
    Traffic: (one) => one.locator(".list .row[id]").first().click(),
    Endpoints: (one) => one.waitForSelector(".grid tbody tr"),
    Map: async (one) => {
      await one.waitForSelector(".map .nodes circle");
      await one.locator(".map .menu summary").click();
    },
    Flows: (one) => one.waitForSelector(".grid tbody tr"),
    Health: there,
  });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
