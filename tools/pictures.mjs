// Draws the pictures of the dashboard in docs/: node tools/pictures.mjs URL [TOOLS]
// URL is what `tapedeck tap` prints. Each view once light, once dark.

import { createRequire } from "node:module";
import { homedir } from "node:os";
import path from "node:path";

const [url, tools = process.env.TAPEDECK_TOOLS ?? path.join(homedir(), ".cache/tapedeck/tools")] = process.argv.slice(2);
const { chromium } = createRequire(path.join(tools, "node_modules", "x.js"))("playwright-core");
const VIEWS = ["Traffic", "Endpoints", "Map", "Compare", "Recordings", "Scripts", "Health"];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width: 1440, height: 820 }, colorScheme });
    page.on("pageerror", (error) => console.error(String(error)));
    await page.goto(url);
    await page.waitForSelector(".list .row");
    for (const view of VIEWS) {
      await page.locator(".views").getByRole("tab", { name: view, exact: true }).click();
      if (view === "Traffic") await page.locator(".list .row", { hasText: "GET" }).nth(3).click();
      await page.waitForTimeout(1500);
      const file = path.join("docs", "pictures", `${view.toLowerCase()}-${colorScheme}.png`);
      await page.screenshot({ path: file });
      console.log(file);
    }
    await page.close();
  }
} finally {
  await browser.close();
}
