// Signs in to the dashboard at a provider, and out again, in headless Chromium: node login.mjs TOOLS URL PROVIDER
// URL is a link that somebody sent. Prints one JSON object with what it saw; the test that started it judges.

import { open, view, watch } from "./common.mjs";

const [tools, url, provider] = process.argv.slice(2);
const browser = await open(tools);
const seen = {};
const home = new URL(url).origin;
try {
  const context = await browser.newContext({ viewport: { width: 1400, height: 860 } });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  // The provider has no icon.
  watch(page, url, seen, [401, 403, 404]);
  const signIn = () => page.getByRole("link", { name: `Sign in with ${new URL(provider).host}` });
  const as = async (name) => {
    await signIn().click();
    await page.waitForURL(`${provider}/**`);
    await page.getByRole("link", { name, exact: true }).click();
  };

  // Somebody whom the provider knows and the configuration does not.
  await page.goto(url);
  await as("bob");
  await page.waitForURL(`${home}/oidc/callback**`);
  seen.noRole = await page.textContent("body");
  seen.noCookie = (await context.cookies(home)).filter(({ httpOnly, path }) => httpOnly && path === "/").length;

  // Somebody who says no at the provider.
  await page.goto(url);
  await as("nobody");
  await page.waitForURL(`${home}/oidc/callback**`);
  seen.refused = await page.textContent("body");

  // Somebody with a role: the link that was opened first is open now, and payloads can be looked at.
  await page.goto(url);
  await as("ann");
  await page.waitForSelector(".list .row[id]");
  seen.opened = page.url();
  seen.rows = await page.$$eval(".list .row[id]", (rows) => rows.map((row) => row.textContent));
  seen.session = await page.evaluate(async () => (await fetch("/api/v1/session")).json());
  await page.locator(".list .row[id]").first().click();
  await page.waitForSelector(".details .fold");
  seen.details = await page.textContent(".details");
  seen.cookies = (await context.cookies(home)).filter(({ path }) => path === "/").map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }));
  const [session] = (await context.cookies(home)).filter(({ path }) => path === "/");
  await view(page, "Audit");
  await page.waitForSelector(".page .empty h2");
  seen.audit = await page.textContent(".page");

  // Out again: neither the browser nor a copy of its cookie gets in.
  await page.getByText("View", { exact: true }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").waitFor();
  seen.afterOut = await page.evaluate(async () => (await fetch("/api/v1/session")).status);
  await context.addCookies([session]);
  seen.withOldCookie = await page.evaluate(async () => (await fetch("/api/v1/session")).status);
} finally {
  await browser.close();
}
// The provider is another host on purpose.
seen.foreign = seen.foreign.filter((to) => !to.startsWith(provider));
console.log(JSON.stringify(seen));
