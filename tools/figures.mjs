// Measures the dashboard in headless Chromium: node tools/figures.mjs PROGRAM [TOOLS]
//
// Makes a million small exchanges, opens them with PROGRAM, and measures: the first list after load,
// the answer to a filter, frames while scrolling, a list of ten million rows, and a live feed of 5,000
// items a second (for FEED_SECONDS, 60 unless set). Prints one JSON object.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const [program, tools = process.env.TAPEDECK_TOOLS ?? path.join(homedir(), ".cache/tapedeck/tools")] = process.argv.slice(2);
const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");
const ITEMS = Number(process.env.ITEMS ?? 1_000_000);
const FEED_SECONDS = Number(process.env.FEED_SECONDS ?? 60);
const FEED_RATE = 5000;
const folder = mkdtempSync(path.join(tmpdir(), "tapedeck-figures-"));
const median = (list) => list.slice().sort((a, b) => a - b)[Math.floor(list.length / 2)];
const round = (number) => Math.round(number * 10) / 10;

// A savefile of DNS exchanges: a question and its answer each, 10 a millisecond.
class Capture {
  constructor(stream) {
    this.stream = stream;
    this.made = 0;
    const head = Buffer.alloc(24);
    head.writeUInt32LE(0xa1b2c3d4, 0);
    head.writeUInt16LE(2, 4);
    head.writeUInt16LE(4, 6);
    head.writeUInt32LE(262144, 16);
    head.writeUInt32LE(1, 20);
    stream.write(head);
    const name = Buffer.from("\x08name0000\x04shop\x04test\0");
    const dns = (flags, more) => Buffer.concat([Buffer.from([0, 0, flags, flags === 1 ? 0 : 0x80, 0, 1, 0, more.length ? 1 : 0, 0, 0, 0, 0]), name, Buffer.from([0, 1, 0, 1]), more]);
    this.question = this.packet([10, 0, 0, 1], [10, 0, 0, 2], 40000, 53, dns(1, Buffer.alloc(0)));
    this.answer = this.packet([10, 0, 0, 2], [10, 0, 0, 1], 53, 40000, dns(0x81, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 7])));
  }

  packet(src, dst, from, to, payload) {
    const udp = Buffer.alloc(8);
    udp.writeUInt16BE(from, 0);
    udp.writeUInt16BE(to, 2);
    udp.writeUInt16BE(8 + payload.length, 4);
    const ip = Buffer.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, ...src, ...dst]);
    ip.writeUInt16BE(28 + payload.length, 2);
    const frame = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]), ip, udp, payload]);
    const head = Buffer.alloc(16);
    head.writeUInt32LE(frame.length, 8);
    head.writeUInt32LE(frame.length, 12);
    return Buffer.concat([head, frame]);
  }

  // Bytes of `count` exchanges more, the last of them at `at` (Unix milliseconds) when it is given.
  next(count, at) {
    const one = this.question.length + this.answer.length;
    const out = Buffer.alloc(one * count);
    for (let index = 0; index < count; index += 1) {
      const number = this.made;
      this.made += 1;
      const micros = at === undefined ? number * 100 : (at % 1000) * 1000;
      const second = at === undefined ? 1_700_000_000 + Math.floor(micros / 1e6) : Math.floor(at / 1000);
      let place = index * one;
      for (const packet of [this.question, this.answer]) {
        packet.copy(out, place);
        out.writeUInt32LE(second, place);
        out.writeUInt32LE(micros % 1e6, place + 4);
        // One of 64 conversations, an id of its own, and one of 10,000 names.
        const payload = place + 16 + 14 + 20 + 8;
        const port = 40000 + (number % 64);
        out.writeUInt16BE(port, packet === this.question ? payload - 8 : payload - 6);
        out.writeUInt16BE(number % 65536, payload);
        out.write(String(number % 10000).padStart(4, "0"), payload + 12 + 5, "latin1");
        place += packet.length;
      }
    }
    return out;
  }
}

async function serve(source, input, more = []) {
  const child = spawn(program, ["tap", "--headless", "--proxy-front-port", "0", "--pcap", source,
    "--set", `tap.dataDir=${path.join(folder, "data")}`, "--set", "tap.dashboard.entriesLimit=12000000", "--set", "tap.capture.dbMaxSize=8Gi", ...more], {
    stdio: [input ? "pipe" : "ignore", "ignore", "pipe"], env: { ...process.env, HOME: folder, NO_COLOR: "1" },
  });
  const lines = createInterface({ input: child.stderr });
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    lines.on("line", (line) => {
      const found = /http:\/\/\S+token=\S+/.exec(line);
      if (found) resolve(found[0]);
    });
  });
  return { child, url };
}

async function end({ child }) {
  child.kill("SIGINT");
  child.stdin?.destroy();
  await Promise.race([once(child, "exit"), new Promise((resolve) => setTimeout(resolve, 5000))]);
  child.kill("SIGKILL");
}

const figures = { items: ITEMS };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-precise-memory-info", "--js-flags=--expose-gc"],
});

// Frames of the page while `act` runs: how many a second, and the longest time between two.
async function frames(page, act) {
  await page.evaluate(() => {
    window.frameTimes = [];
    const tick = (now) => {
      window.frameTimes.push(now);
      window.frameTick = requestAnimationFrame(tick);
    };
    window.frameTick = requestAnimationFrame(tick);
  });
  await act();
  return page.evaluate(() => {
    cancelAnimationFrame(window.frameTick);
    const gaps = window.frameTimes.slice(1).map((time, index) => time - window.frameTimes[index]);
    const sum = gaps.reduce((all, gap) => all + gap, 0);
    const sorted = gaps.slice().sort((a, b) => a - b);
    return { perSecond: (gaps.length / sum) * 1000, p99: sorted[Math.floor(sorted.length * 0.99)], longest: sorted.at(-1), within: gaps.filter((gap) => gap < 20).length / gaps.length };
  });
}

// Asks Chromium for the time that the page's own work took so far, and for its memory.
async function meter(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  return async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    const value = (name) => metrics.find((one) => one.name === name)?.value ?? 0;
    return { taskSeconds: value("TaskDuration"), heapMiB: value("JSHeapUsedSize") / 2 ** 20, nodes: value("Nodes") };
  };
}

try {
  const file = path.join(folder, "million.pcap");
  const stream = createWriteStream(file);
  const capture = new Capture(stream);
  for (let left = ITEMS; left > 0; left -= 10000) {
    if (!stream.write(capture.next(Math.min(left, 10000)))) await once(stream, "drain");
  }
  stream.end();
  await once(stream, "finish");
  const opened = await serve(file, false);
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  await page.goto(opened.url);
  const began = Date.now();
  for (;;) {
    const status = await page.evaluate(async () => (await fetch("/api/v1/status")).json());
    if (status.counts.ended) {
      figures.held = status.rows.end - status.rows.first;
      break;
    }
    if (Date.now() - began > 600000) throw new Error("the capture was not read in ten minutes");
    await page.waitForTimeout(500);
  }

  const loads = [];
  for (let round = 0; round < 5; round += 1) {
    const start = performance.now();
    await page.goto(new URL(opened.url).origin);
    await page.waitForSelector(".list .row[id]");
    loads.push(performance.now() - start);
  }
  figures.firstListMs = round(median(loads));

  figures.filterMs = {};
  for (const q of ["dns", 'request.questions[0].name == "name0042.shop.test"', "elapsedTime > 1000", "src.ip == \"10.0.0.1\" and dst.port == \"53\""]) {
    const times = [];
    for (let again = 0; again < 3; again += 1) {
      times.push(await page.evaluate(async (query) => {
        const start = performance.now();
        await (await fetch(`/api/v1/items?limit=200&q=${encodeURIComponent(query)}`)).json();
        return performance.now() - start;
      }, q));
    }
    figures.filterMs[q] = round(median(times));
  }

  await page.hover(".list");
  const scrolled = await frames(page, async () => {
    for (let step = 0; step < 180; step += 1) {
      await page.mouse.wheel(0, step < 120 ? -240 : 240);
      await page.waitForTimeout(16);
    }
  });
  figures.scroll = { framesPerSecond: round(scrolled.perSecond), p99Ms: round(scrolled.p99), longestMs: round(scrolled.longest) };

  // The list itself over ten million rows, made as they are asked for.
  figures.tenMillion = await page.evaluate(async () => {
    const { list } = await import("/parts/list.js");
    const side = (name) => ({ name, ip: "10.0.0.1", port: "80", namespace: "shop" });
    const row = (n) => ({ n, protocol: { abbr: "HTTP", macro: "http", background: "#326de6", foreground: "#fff" }, status: "200", tone: "good", method: "GET", summary: `/orders/${n}`, src: side("web"), dst: side("cart"), elapsed: 1, timestamp: n, stream: `${n}`, size: 100 });
    const nothing = () => {};
    const one = list({ source: { count: () => 10_000_000, at: row, indexOf: (n) => n }, columns: ["protocol", "status", "method", "summary", "who", "took", "time"], onChoose: nothing, onClause: nothing, onTop: nothing, onPinned: nothing, onMissing: nothing, onSort: nothing, onColumns: nothing });
    const holder = document.createElement("div");
    Object.assign(holder.style, { position: "fixed", inset: "0", zIndex: 9, display: "grid" });
    holder.append(one.node);
    document.body.append(holder);
    const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    one.set(false);
    await frame();
    const numbers = () => [...one.node.querySelectorAll(".row[id]")].map((node) => Number(node.id.slice(4)));
    const first = numbers()[0];
    one.node.scrollTop = one.node.scrollHeight;
    await frame();
    const last = numbers().at(-1);
    const gaps = [];
    let before = performance.now();
    let bar = one.node.scrollHeight / 2;
    one.node.scrollTop = bar;
    for (let step = 0; step < 120; step += 1) {
      await new Promise(requestAnimationFrame);
      gaps.push(performance.now() - before);
      before = performance.now();
      one.node.scrollTop += 120;
    }
    const drawn = one.node.querySelectorAll(".row").length;
    holder.remove();
    gaps.sort((a, b) => a - b);
    return { firstRow: first, lastRow: last, drawnRows: drawn, elementHeight: bar * 2, p99Ms: Math.round(gaps[118] * 10) / 10 };
  });
  figures.heapMiB = round((await (await meter(page))()).heapMiB);
  await page.close();
  await end(opened);

  // A feed of its own: exchanges on standard input as they happen.
  const live = await serve("-", true);
  const feed = new Capture(live.child.stdin);
  live.child.stdin.on("error", () => {});
  const started = Date.now();
  let sent = 0;
  const pump = setInterval(() => {
    const due = Math.floor(((Date.now() - started) / 1000) * FEED_RATE) - sent;
    if (due <= 0 || live.child.stdin.writableLength > 64 << 20) return;
    live.child.stdin.write(feed.next(due, Date.now()));
    sent += due;
  }, 20);
  const tab = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  await tab.goto(live.url);
  await tab.waitForSelector(".list .row[id]", { timeout: 60000 });
  await tab.waitForTimeout(3000);
  const read = await meter(tab);
  const before = await read();
  const at = Date.now();
  const seen = await frames(tab, async () => {
    await tab.waitForTimeout(FEED_SECONDS * 1000);
  });
  const after = await read();
  const saysSo = await tab.textContent(".told");
  const wall = (Date.now() - at) / 1000;
  const clicked = performance.now();
  await tab.locator(".list .row[id]").first().click();
  await tab.waitForSelector(".details section");
  figures.feed = {
    itemsPerSecond: Math.round(sent / ((Date.now() - started) / 1000)), seconds: Math.round(wall), framesPerSecond: round(seen.perSecond), p99FrameMs: round(seen.p99), longestFrameMs: round(seen.longest),
    busyPercent: round(((after.taskSeconds - before.taskSeconds) / wall) * 100), heapMiB: round(after.heapMiB), nodes: after.nodes, saysSo, clickToDetailsMs: round(performance.now() - clicked),
  };
  clearInterval(pump);
  await tab.close();
  await end(live);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(JSON.stringify(figures, null, 2));
