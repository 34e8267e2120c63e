// Measures the dashboard in headless Chromium: node tools/figures.mjs PROGRAM [TOOLS]
//
// Makes a million exchanges (ITEMS), lets PROGRAM read them, and measures: the first list after load; the
// answer to filters, by the index of what was read and by rows that are held in memory, each until the page
// is full or all items were looked at; the same in the page, from the key to the drawn list; frames while
// scrolling; a list of ten million rows; a live feed of 5,000 items a second (FEED_RATE, for FEED_SECONDS, 60
// unless set) with the memory of the tab over time. Frames and tasks are those of Chromium's tracing. Prints
// one JSON object.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, homedir, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { Capture } from "./figures/capture.mjs";
import { animation, memory, round, traced } from "./figures/trace.mjs";

const [program, tools = process.env.TAPEDECK_TOOLS ?? path.join(homedir(), ".cache/tapedeck/tools")] = process.argv.slice(2);
const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");
const ITEMS = Number(process.env.ITEMS ?? 1_000_000);
const FEED_SECONDS = Number(process.env.FEED_SECONDS ?? 60);
const FEED_RATE = Number(process.env.FEED_RATE ?? 5000);
const TRACED_SECONDS = 10;
const READINGS = 20;
const PARTS = new Set((process.env.PARTS ?? "file,rows,feed").split(","));
const FILTERS = ["dns", 'request.questions[0].name == "name0042.shop.test"', "elapsedTime > 1000000", 'src.ip == "10.0.0.1" and dst.port == "53"', 'dns and src.ip == "10.9.9.9"', 'request.questions[0].name == r"name0.*7[.]shop"', "http && status_code >= 500"];
const folder = mkdtempSync(path.join(tmpdir(), "tapedeck-figures-"));
const median = (list) => list.slice().sort((a, b) => a - b)[Math.floor(list.length / 2)];

async function serve(source, input) {
  const keys = [`tap.dataDir=${path.join(folder, "data")}`, "tap.dashboard.entriesLimit=12000000", "tap.capture.dbMaxSize=8Gi"];
  const child = spawn(program, ["tap", "--headless", "--proxy-front-port", "0", "--pcap", source, ...keys.flatMap((key) => ["--set", key])], {
    stdio: [input ? "pipe" : "ignore", "ignore", "pipe"], env: { ...process.env, HOME: folder, XDG_CACHE_HOME: path.join(folder, "cache"), NO_COLOR: "1" },
  });
  const lines = createInterface({ input: child.stderr });
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    lines.on("line", (line) => {
      const found = /http:\/\/\S+token=\S+/.exec(line);
      if (found) resolve(found[0]);
    });
  });
  child.stdin?.on("error", () => {});
  return { child, url };
}

async function end({ child }) {
  child.kill("SIGINT");
  child.stdin?.destroy();
  await Promise.race([once(child, "exit"), new Promise((resolve) => setTimeout(resolve, 5000))]);
  child.kill("SIGKILL");
}

async function write(stream, count) {
  const capture = new Capture(stream);
  for (let left = count; left > 0; left -= 10000) {
    if (!stream.write(capture.next(Math.min(left, 10000)))) await once(stream, "drain");
  }
  return capture;
}

const status = (page) => page.evaluate(async () => (await fetch("/api/v1/status")).json());
async function until(page, ready) {
  const began = Date.now();
  for (;;) {
    const now = await status(page);
    if (ready(now)) return now;
    if (Date.now() - began > 900000) throw new Error("the capture was not read in fifteen minutes");
    await page.waitForTimeout(500);
  }
}

// Milliseconds of a filter until a page of rows is full or all were looked at; and what came.
async function answers(page) {
  const found = {};
  for (const q of FILTERS) {
    const times = [];
    let rows = 0;
    for (let again = 0; again < 5; again += 1) {
      const one = await page.evaluate(async (query) => {
        const start = performance.now();
        let [before, count] = ["", 0];
        do {
          const answer = await (await fetch(`/api/v1/items?limit=200&q=${encodeURIComponent(query)}${before}`)).json();
          if (answer.error) throw new Error(answer.error);
          count += answer.rows.length;
          before = answer.next === null ? null : `&before=${answer.next}`;
        } while (before !== null && count < 200);
        return { ms: performance.now() - start, count };
      }, q);
      times.push(one.ms);
      rows = one.count;
    }
    found[q] = { ms: round(median(times)), worstMs: round(Math.max(...times)), rows };
  }
  return found;
}

// From the key that applies a filter to the list that is drawn, or to the words that nothing matches.
async function typed(page) {
  const found = {};
  const area = page.locator(".filter textarea");
  for (const q of FILTERS) {
    const times = [];
    for (let again = 0; again < 3; again += 1) {
      await area.fill("");
      await area.press("Enter");
      await page.waitForFunction(() => document.querySelector(".main-area").dataset.q === "" && document.querySelector(".list .row[id]"));
      await area.fill(q);
      times.push(await page.evaluate((query) => new Promise((resolve) => {
        const start = performance.now();
        const look = () => {
          const shown = document.querySelector(".main-area").dataset.q === query && (document.querySelector(".list .row[id]") || !document.querySelector(".list-holder > .empty").hidden);
          if (shown) resolve(performance.now() - start);
          else requestAnimationFrame(look);
        };
        document.querySelector(".filter textarea").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
        requestAnimationFrame(look);
      }), q));
    }
    found[q] = round(median(times));
  }
  await area.fill("");
  await area.press("Enter");
  await page.waitForSelector(".main-area[data-q=''] .list .row[id]");
  return found;
}

async function loads(page, url) {
  const times = [];
  for (let again = 0; again < 5; again += 1) {
    const start = performance.now();
    await page.goto(new URL(url).origin);
    await page.waitForSelector(".list .row[id]");
    times.push(performance.now() - start);
  }
  return { medianMs: round(median(times)), worstMs: round(Math.max(...times)) };
}

async function scrolling(browser, page) {
  await page.hover(".list");
  return traced(browser, page, () => page.evaluate(() => new Promise((resolve) => {
    const list = document.querySelector(".list");
    let step = 0;
    // As a wheel that is turned all the time, up and then down.
    const tick = () => {
      list.scrollTop += step < 240 ? -90 : 90;
      step += 1;
      if (step < 480) requestAnimationFrame(tick);
      else resolve();
    };
    requestAnimationFrame(tick);
  })));
}

// The list itself over ten million rows, made as they are asked for.
async function tenMillion(browser, page) {
  const ends = await page.evaluate(async () => {
    const { list } = await import("/parts/list.js");
    const side = (name) => ({ name, ip: "10.0.0.1", port: "80", namespace: "shop" });
    const row = (n) => ({ n, protocol: { abbr: "HTTP", macro: "http", background: "#326de6", foreground: "#fff" }, status: "200", tone: "good", method: "GET", summary: `/orders/${n}`, src: side("web"), dst: side("cart"), elapsed: 1, timestamp: n, stream: `${n}`, size: 100 });
    const nothing = () => {};
    const one = list({ source: { count: () => 10_000_000, at: row, indexOf: (n) => n }, columns: ["protocol", "status", "method", "summary", "who", "took", "time"], onChoose: nothing, onClause: nothing, onTop: nothing, onPinned: nothing, onMissing: nothing, onSort: nothing, onColumns: nothing });
    const holder = document.createElement("div");
    Object.assign(holder.style, { position: "fixed", inset: "0", zIndex: 9, display: "grid" });
    holder.append(one.node);
    document.body.append(holder);
    window.many = { one, holder };
    const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    one.set(false);
    await frame();
    const numbers = () => [...one.node.querySelectorAll(".row[id]")].map((node) => Number(node.id.slice(4)));
    const firstRow = numbers()[0];
    one.node.scrollTop = one.node.scrollHeight;
    await frame();
    const lastRow = numbers().at(-1);
    one.node.scrollTop = one.node.scrollHeight / 2;
    await frame();
    return { firstRow, lastRow, drawnRows: one.node.querySelectorAll(".row").length };
  });
  const frames = await traced(browser, page, () => page.evaluate(() => new Promise((resolve) => {
    let step = 0;
    const tick = () => {
      window.many.one.node.scrollTop += 120;
      step += 1;
      if (step < 240) requestAnimationFrame(tick);
      else resolve();
    };
    requestAnimationFrame(tick);
  })));
  await page.evaluate(() => window.many.holder.remove());
  return { ...ends, ...frames };
}

// A feed of its own: exchanges on standard input as they happen, while the page follows.
async function followed(browser) {
  const live = await serve("-", true);
  const feed = new Capture(live.child.stdin);
  const started = Date.now();
  let sent = 0;
  const pump = setInterval(() => {
    const due = Math.floor(((Date.now() - started) / 1000) * FEED_RATE) - sent;
    if (due <= 0 || live.child.stdin.writableLength > 64 << 20) return;
    live.child.stdin.write(feed.next(due, Date.now()));
    sent += due;
  }, 20);
  try {
    const tab = await browser.newPage({ viewport: { width: 1400, height: 860 } });
    await tab.goto(live.url);
    await tab.waitForSelector(".list .row[id]", { timeout: 60000 });
    await tab.waitForTimeout(3000);
    const read = await memory(browser, tab);
    const readings = [];
    const note = async () => readings.push({ second: Math.round((Date.now() - started) / 1000), ...(await read()) });
    await note();
    // Frames are drawn when rows come; ticks tell whether more could be.
    const looked = async () => {
      let ticks = null;
      const drawn = await traced(browser, tab, async () => {
        ticks = await animation(tab, () => tab.waitForTimeout(Math.min(TRACED_SECONDS, FEED_SECONDS) * 1000));
      });
      return { ...drawn, ...ticks };
    };
    const frames = await looked();
    const left = Math.max(0, FEED_SECONDS - TRACED_SECONDS);
    for (let step = 0; step < READINGS && left > 0; step += 1) {
      await tab.waitForTimeout((left / READINGS) * 1000);
      await note();
    }
    const last = await looked();
    const saysSo = await tab.textContent(".told");
    const clicked = performance.now();
    await tab.locator(".list .row[id]").first().click();
    await tab.waitForSelector(".details .fold");
    const clickToDetailsMs = round(performance.now() - clicked);
    const { counts } = await status(tab);
    await tab.close();
    return {
      itemsPerSecond: Math.round(sent / ((Date.now() - started) / 1000)), items: Object.values(counts.items).reduce((sum, count) => sum + count, 0), seconds: Math.round((Date.now() - started) / 1000), atStart: frames, atEnd: last,
      mostHeapMiB: Math.max(...readings.map((one) => one.heapMiB)), mostTabMiB: Math.max(...readings.map((one) => one.tabMiB)), saysSo, clickToDetailsMs, readings,
    };
  } finally {
    clearInterval(pump);
    await end(live);
  }
}

const figures = { program, items: ITEMS, cores: cpus().length, load: loadavg().map(round) };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  if (PARTS.has("file")) {
    const file = path.join(folder, "million.pcap");
    const stream = createWriteStream(file);
    await write(stream, ITEMS);
    stream.end();
    await once(stream, "finish");
    const opened = await serve(file, false);
    const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
    await page.goto(opened.url);
    await until(page, (now) => now.counts.ended && now.archive);
    figures.byIndex = { firstList: await loads(page, opened.url), filters: await answers(page), typedMs: await typed(page), scrolling: await scrolling(browser, page), tenMillion: await tenMillion(browser, page), memory: await (await memory(browser, page))() };
    await page.close();
    await end(opened);
  }
  if (PARTS.has("rows")) {
    const held = await serve("-", true);
    const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
    await page.goto(held.url);
    await write(held.child.stdin, ITEMS);
    const { rows } = await until(page, (now) => Object.values(now.counts.items).reduce((sum, count) => sum + count, 0) >= ITEMS - 1000);
    figures.byRows = { held: rows.end - rows.first, heldMiB: round(rows.bytes / 2 ** 20), firstList: await loads(page, held.url), filters: await answers(page), typedMs: await typed(page), scrolling: await scrolling(browser, page) };
    await page.close();
    await end(held);
  }
  if (PARTS.has("feed")) figures.feed = await followed(browser);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(JSON.stringify(figures, null, 2));
