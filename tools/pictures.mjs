// Draws the pictures of the dashboard in docs/: node tools/pictures.mjs PROGRAM [TOOLS]
//
// Lets PROGRAM capture a small shop on loopback addresses, with a recording and scripts, and draws each
// view once light, once dark, into OUT (docs/pictures), WIDTH (1440) by HEIGHT (900) pixels. Needs the right to
// capture. Runs from the root of the repository.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const [program, tools = process.env.TAPEDECK_TOOLS ?? path.join(homedir(), ".cache/tapedeck/tools")] = process.argv.slice(2);
const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");
const folder = mkdtempSync(path.join(tmpdir(), "tapedeck-pictures-"));
const WARM_UP_MS = 40000;
const PORT = 8080;
const OUT = process.env.OUT ?? path.join("docs", "pictures");
const VIEWPORT = { width: Number(process.env.WIDTH ?? 1440), height: Number(process.env.HEIGHT ?? 900) };

// Who asks whom for what, how often in a second, how slow and how often it fails.
const SHOP = {
  web: { ip: "127.1.0.2", calls: [["cart", "GET", "/cart/:id", 6], ["catalog", "GET", "/products?page=:n", 8], ["orders", "POST", "/orders", 3]] },
  cart: { ip: "127.1.0.3", calls: [["stock", "GET", "/stock/:id", 5], ["prices", "GET", "/prices/:id", 5]] },
  catalog: { ip: "127.1.0.4", calls: [["prices", "GET", "/prices/:id", 4], ["images", "GET", "/images/:id", 3]] },
  orders: { ip: "127.1.0.5", calls: [["payment", "POST", "/charge", 3], ["stock", "PUT", "/stock/:id", 3], ["mail", "POST", "/send", 1]] },
  stock: { ip: "127.1.0.6", calls: [] },
  prices: { ip: "127.1.0.7", calls: [] },
  payment: { ip: "127.1.0.8", calls: [], slow: 250, fails: 0.25 },
  images: { ip: "127.1.0.9", calls: [], missing: 0.2 },
  mail: { ip: "127.1.0.10", calls: [] },
};
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAYAAAAf8/9hAAAAK0lEQVR4nGNgGAWjYBSMglEwCkbBKBgFo2AUjIJRMApGwSgYBaNgFAwOAADQAAEBc1tKJgAAAABJRU5ErkJggg==", "base64");

function answer(name, request, response) {
  const { slow = 4, fails = 0, missing = 0 } = SHOP[name];
  request.resume();
  request.on("end", () => setTimeout(() => {
    const lot = Math.random();
    if (lot < fails) {
      response.writeHead(lot < fails / 2 ? 503 : 500, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: "the bank does not answer", order: 1000 + Math.floor(lot * 9000) }));
    }
    if (lot < missing) {
      response.writeHead(404, { "content-type": "text/plain" });
      return response.end("no such picture");
    }
    if (name === "images") {
      response.writeHead(200, { "content-type": "image/png" });
      return response.end(PNG);
    }
    response.writeHead(request.method === "POST" ? 201 : 200, { "content-type": "application/json", "x-served-by": name });
    return response.end(JSON.stringify({ id: Math.floor(lot * 9000), name: "tape", count: 2, price: { amount: "9.90", currency: "EUR" } }));
  }, Math.random() * slow * 2));
}

function shop() {
  const servers = Object.entries(SHOP).map(([name, { ip }]) => http.createServer((request, response) => answer(name, request, response)).listen(PORT, ip));
  const timers = [];
  for (const { ip, calls } of Object.values(SHOP)) {
    for (const [to, method, where, rate] of calls) {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
      timers.push(setInterval(() => {
        if (Math.random() > 0.8) return;
        const number = Math.floor(Math.random() * 900) + 100;
        // Calls that lie close together belong to one trace.
        const trace = createHash("sha256").update(String(Math.floor(Date.now() / 700))).digest("hex").slice(0, 32);
        const headers = { host: `${to}.shop`, "user-agent": "shop/2.1", traceparent: `00-${trace}-00f067aa0ba902b7-01`, ...(method === "GET" ? {} : { "content-type": "application/json" }) };
        const asked = http.request({ host: SHOP[to].ip, port: PORT, localAddress: ip, agent, method, path: where.replace(":id", number).replace(":n", number % 9), headers }, (response) => response.resume());
        asked.on("error", () => {});
        asked.end(method === "GET" ? undefined : JSON.stringify({ order: number, items: ["tape", "deck"] }));
      }, 1000 / rate));
    }
  }
  return () => {
    timers.forEach(clearInterval);
    servers.forEach((server) => server.close());
  };
}

async function tap() {
  const scripts = path.join(folder, "scripts");
  mkdirSync(scripts);
  for (const name of ["alert_500.js", "count_statuses.js", "path_latency.js"]) copyFileSync(path.join("scripts", name), path.join(scripts, name));
  const keys = ["recording.sealFirst=8s", "recording.sealEvery=8s", "tap.dashboard.editScripts=true", "tap.dashboard.replay=true", `scripting.source=${scripts}`,
    `tap.dataDir=${path.join(folder, "data")}`, "scripting.env.RECORDING_KFL=http and response.status >= 500"];
  const child = spawn(program, ["tap", "-i", "lo", "--bpf", "net 127.1.0.0/24", "--headless", "--proxy-front-port", "0", ...keys.flatMap((key) => ["--set", key])],
    { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: folder, NO_COLOR: "1" } });
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      const found = /http:\/\/\S+token=\S+/.exec(line);
      if (found) resolve(found[0]);
    });
  });
  return { child, url };
}

// What is done in a view before it is drawn.
const click = (where) => (page) => page.locator(where).first().click();
const VIEWS = {
  Traffic: async (page) => {
    await page.locator(".list .row[id]:has(.status.bad)").last().waitFor({ timeout: 60000 });
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator(".list .row[id]:has(.status.bad)").last().click();
    await page.locator(".details").getByRole("tab", { name: "Before" }).click();
    await page.waitForSelector(".details .earlier");
  },
  Endpoints: () => {},
  Map: () => {},
  Flows: async (page) => {
    await page.locator(".grid[aria-label=Flows] tbody tr").nth(2).click();
    await page.waitForSelector(".flows .card:not([hidden]) tbody tr");
  },
  Compare: () => {},
  Recordings: async (page) => {
    await page.getByRole("button", { name: "New recording" }).click();
    await page.getByLabel("Name", { exact: true }).fill("payments");
    await page.locator("#recording-kfl").fill('http and request.path == "/charge"');
    await page.getByLabel("Object lock").selectOption("GOVERNANCE");
    await page.locator("#recording-days").fill("30");
    await page.waitForSelector(".tried b");
  },
  Archive: async (page) => {
    await page.waitForSelector(".reels .reel");
    await page.getByRole("button", { name: "Verify" }).click();
    await page.waitForFunction(() => /sealed/.test(document.querySelector('[aria-label="Proof"]')?.textContent ?? ""));
  },
  Scripts: click(".files .file"),
  Health: () => {},
  Audit: () => {},
};

const stop = shop();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const { child, url } = await tap();
try {
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: VIEWPORT, colorScheme });
    page.on("pageerror", (error) => console.error(String(error)));
    await page.goto(url);
    await page.waitForSelector(".list .row[id]");
    for (const [view, act] of Object.entries(VIEWS)) {
      await page.locator(".views").getByRole("tab", { name: view, exact: true }).click();
      await page.waitForTimeout(1500);
      await act(page);
      await page.waitForTimeout(1500);
      const file = path.join(OUT, `${view.toLowerCase()}-${colorScheme}.png`);
      await page.screenshot({ path: file });
      if (view === "Traffic") await page.getByRole("button", { name: "Resume" }).click();
      console.log(file);
    }
    await page.close();
  }
} finally {
  await browser.close();
  child.kill("SIGINT");
  stop();
  await new Promise((resolve) => {
    child.once("exit", resolve);
    setTimeout(resolve, 20000);
  });
  child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
