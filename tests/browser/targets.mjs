// Chooses other pods in the dialog of targets, in headless Chromium: node targets.mjs TOOLS URL
// Prints one JSON object with what it saw; the test that started it judges.

import { axe, open, view, watch } from "./common.mjs";

const [tools, url] = process.argv.slice(2);
const browser = await open(tools);
const seen = {};
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.setDefaultTimeout(30000);
  watch(page, url, seen, [400]);
  await page.goto(url);
  const banner = page.locator("button.targets");
  const dialog = page.getByRole("dialog", { name: "Pods", exact: true });
  const says = (words) => page.waitForFunction((part) => document.querySelector("button.targets").title.includes(part), words);
  // Servers of the newest rows, by number.
  const servers = () => page.$$eval(".list .row[id]", (rows) => rows.map((row) => ({ n: Number(row.id.slice(4)), text: row.textContent })));
  const comes = (name, after) => page.waitForFunction(([part, last]) => [...document.querySelectorAll(".list .row[id]")].some((row) => Number(row.id.slice(4)) > last && row.textContent.includes(part)), [name, after]);

  // What the configuration asks for.
  await says("cart-1");
  seen.banner = await banner.textContent();
  await comes("cart-1", -1);
  seen.first = (await servers()).map(({ text }) => text);

  // An expression that is none is refused, and nothing changes.
  await banner.click();
  await dialog.locator("tbody tr").first().waitFor();
  seen.pods = await dialog.locator("tbody").textContent();
  const regex = dialog.getByLabel("Names of pods contain (regular expression)");
  seen.wanted = { regex: await regex.inputValue(), namespaces: await dialog.getByLabel("Namespaces", { exact: true }).inputValue() };
  const bpf = dialog.getByLabel("Capture filter (BPF)");
  const choose = async (text, filter = "") => {
    await regex.fill(text);
    await bpf.fill(filter);
    await dialog.getByRole("button", { name: "Capture these\u2026" }).click();
    const question = page.getByRole("dialog", { name: "Capture other pods?" });
    await question.waitFor();
    const asked = await question.textContent();
    await question.getByRole("button", { name: "Capture these", exact: true }).click();
    await question.waitFor({ state: "detached" });
    return asked;
  };
  seen.expected = page.waitForResponse((response) => response.request().method() === "POST" && response.url().endsWith("/targets"));
  await choose("^(");
  seen.expected = (await seen.expected).status();
  await page.waitForFunction(() => document.querySelector("dialog[open] .form [role=alert]").textContent);
  seen.refused = await dialog.getByRole("alert").textContent();

  // Another pod: the banner follows, and so does what is captured.
  seen.question = await choose("^pay");
  await says("pay-1");
  await dialog.getByRole("button", { name: "Close" }).click();
  await comes("pay-1", -1);
  const last = (await servers()).at(-1).n;
  await comes("pay-1", last + 20);
  seen.second = (await servers()).filter(({ n }) => n > last).map(({ text }) => text);

  // A capture filter instead: one that is none is refused and nothing changes; a good one lets all pods
  // pass, and a cleared one leaves the pods again.
  await banner.click();
  seen.badFilter = page.waitForResponse((response) => response.request().method() === "POST" && response.url().endsWith("/targets"));
  await choose("^pay", "tcp port");
  seen.badFilter = (await seen.badFilter).status();
  await page.waitForFunction(() => document.querySelector("dialog[open] .form [role=alert]").textContent);
  seen.filterRefused = await dialog.getByRole("alert").textContent();
  seen.filterKept = await page.evaluate(async () => (await (await fetch("/api/v1/targets")).json()).wanted);
  seen.filterQuestion = await choose("^pay", "tcp");
  await page.waitForFunction(() => document.querySelector("button.targets").textContent === "capture filter: tcp");
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}-filter.png` });
  await dialog.getByRole("button", { name: "Close" }).click();
  await comes("cart-1", (await servers()).at(-1).n);
  await banner.click();
  await choose("^pay");
  await says("pay-1");
  await dialog.getByRole("button", { name: "Close" }).click();

  // The map, by what the cluster tells of each side; a click on a node leads to its items.
  await view(page, "Map");
  seen.map = {};
  for (const by of ["pod", "service", "node"]) {
    const drawn = page.waitForResponse((response) => response.url().includes("/map?") && response.url().includes(`by=${by}`));
    await page.getByLabel("Nodes are").selectOption(by);
    const { nodes } = await (await drawn).json();
    await page.waitForFunction((ids) => JSON.stringify([...document.querySelectorAll(".map .nodes title")].map((title) => title.textContent.split("\n")[0]).sort()) === JSON.stringify(ids.sort()), nodes.map(({ id }) => id));
    seen.map[by] = nodes.map(({ id }) => id).sort();
    if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}-map-${by}.png` });
  }
  await page.locator(".map .nodes g", { hasText: "worker-1" }).press("Enter");
  await page.waitForURL((to) => (to.searchParams.get("q") ?? "").includes("nodeName"));
  seen.ofNode = new URL(page.url()).searchParams.get("q");
  await view(page, "Traffic");
  await page.waitForSelector(".main-area[data-q*='nodeName'] .list .row[id]");
  await axe(browser, tools, url, seen, {
    Traffic: async (one) => {
      await one.locator("button.targets").click();
      await one.locator("dialog[open] tbody tr").first().waitFor();
    },
  });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
