// Operates a live run in headless Chromium: node operate.mjs TOOLS URL STORE SCRIPTS VIEW_TOKEN
// Prints one JSON object with what it saw; the test that started it judges.

import { appendFileSync } from "node:fs";
import path from "node:path";

import { axe, open, round, told, until, view, watch } from "./common.mjs";

const [tools, url, store, scripts, viewToken] = process.argv.slice(2);
const browser = await open(tools);
const seen = {};
const dialog = (page) => page.locator("dialog[open]");
const answer = async (page, act) => {
  const asked = await dialog(page).textContent();
  await dialog(page).getByRole("button", { name: act, exact: true }).click();
  return asked;
};
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 } });
  page.setDefaultTimeout(30000);
  watch(page, url, seen, [409]);
  await page.goto(url);
  await page.waitForSelector(".list .row[id]");

  // The list grows, is sorted and gets a column more.
  const shown = async () => Number((await page.textContent(".state b")).split(" of ")[0].replaceAll(",", ""));
  const before = await shown();
  await page.waitForFunction((least) => Number(document.querySelector(".state b").textContent.split(" of ")[0].replaceAll(",", "")) > least, before);
  seen.grew = true;
  // All rows are drawn anew between press and release, and the one that was pressed is opened all the same.
  await page.waitForFunction(() => document.querySelectorAll(".list .row[id]").length > 20);
  const list = await page.locator(".list").boundingBox();
  await page.mouse.move(list.x + list.width / 3, list.y + list.height / 2);
  await page.mouse.down();
  await page.evaluate(() => [...document.querySelectorAll("button")].find((one) => one.textContent === "Times: UTC").click());
  await page.waitForTimeout(100);
  await page.mouse.up();
  await page.waitForSelector(".details h2");
  seen.pressed = await page.textContent(".details h2");
  await page.keyboard.press("Escape");
  await page.evaluate(() => [...document.querySelectorAll("button")].find((one) => one.textContent === "Times: local").click());
  // What is sorted stands still, so a failure has to be there.
  await until(page, async () => (await (await fetch("/api/v1/items?limit=1&q=response.status+==+500")).json()).rows.length);
  await page.getByRole("columnheader", { name: "Status" }).getByRole("button").click();
  await page.waitForSelector('.head [aria-sort="descending"]');
  await page.waitForFunction(() => document.querySelector(".list .row[id] .status")?.textContent.startsWith("500"));
  seen.sortedStatuses = await page.$$eval(".list .row[id] .status", (cells) => cells.slice(0, 2).map((cell) => cell.textContent));
  // The link leads to the same order.
  await page.reload();
  await page.waitForSelector('.head [aria-sort="descending"]');
  await page.waitForFunction(() => document.querySelector(".list .row[id] .status")?.textContent.startsWith("500"));
  seen.sortedLinks = [new URL(page.url()).searchParams.get("sort")];
  await page.getByRole("button", { name: "Newest first again" }).click();
  await page.waitForSelector(".told", { state: "hidden" });
  seen.sortedLinks.push(new URL(page.url()).searchParams.get("sort"));
  const size = page.getByRole("columnheader", { name: "Size" });
  seen.columns = { before: (await size.count()) > 0 };
  await page.getByRole("button", { name: "Columns", exact: true }).click();
  await dialog(page).getByLabel("Size", { exact: true }).check();
  await dialog(page).getByRole("button", { name: "Close" }).click();
  seen.columns.after = (await size.count()) > 0;

  // The views that speak of the filter, while it runs.
  seen.round = await round(page);

  // A recording: begun at the filter, tried, refused for its name, confirmed, sealed, stopped.
  await page.locator(".filter textarea").fill("response.status == 500");
  await page.getByRole("button", { name: "Record\u2026" }).click();
  const form = page.getByRole("form", { name: "New recording" });
  seen.begun = await form.getByLabel("What to record").inputValue();
  await page.waitForSelector('.form:not([hidden]) .tried[data-q="response.status == 500"] b');
  seen.tried = await form.locator(".tried").textContent();
  await form.getByLabel("Name").fill("No Good");
  await form.getByLabel("Destination").fill(store);
  await form.getByLabel("Object lock").selectOption("GOVERNANCE");
  await form.locator("#recording-days").fill("1");
  await form.getByRole("button", { name: /Start recording/ }).click();
  seen.wrongForm = await form.getByRole("alert").textContent();
  await form.getByLabel("Name").fill("errors");
  await form.getByRole("button", { name: /Start recording/ }).click();
  await dialog(page).waitFor();
  seen.confirmed = await answer(page, "Start");
  const card = page.locator('.card[data-name="errors"]');
  await card.waitFor();
  seen.recording = await card.textContent();
  await card.getByRole("button", { name: "Seal now" }).click();
  await dialog(page).waitFor();
  seen.sealQuestion = await answer(page, "Seal");
  await page.waitForFunction(() => /reels? (was|were) sealed/.test(document.querySelector(".tools .said").textContent));

  // Its reel in the archive: its lock, its bytes, its proof.
  await view(page, "Archive");
  await page.getByLabel("Store").selectOption(store);
  // One whose manifest, which is uploaded last, is there.
  const reel = page.locator(".reels .reel", { hasText: "errors", hasNotText: "it has no manifest" }).first();
  for (let late = Date.now() + 60000; Date.now() < late && !(await reel.isVisible());) {
    const answered = page.waitForResponse((response) => response.url().includes("/archive/days"));
    await page.getByRole("button", { name: "Read again" }).click();
    await answered;
    await reel.waitFor({ timeout: 500 }).catch(() => {});
  }
  seen.reel = await reel.textContent();
  const [download] = await Promise.all([page.waitForEvent("download"), reel.getByRole("link", { name: "packets" }).click()]);
  const stream = await download.createReadStream();
  seen.downloaded = 0;
  for await (const piece of stream) seen.downloaded += piece.length;
  // What it recorded, by its filter and its time, as one file; and alone by a word of its name.
  const [exported] = await Promise.all([page.waitForEvent("download"), reel.getByRole("button", { name: "Export", exact: true }).click()]);
  seen.exported = exported.suggestedFilename();
  await page.waitForFunction(() => /packets were saved/.test(document.querySelector(".archive .said").textContent));
  await page.getByLabel("Find reels of the day").fill("recording=errors");
  await page.waitForFunction(() => [...document.querySelectorAll(".reels .reel h2")].every((one) => one.textContent.startsWith("errors")));
  await page.getByLabel("Find reels of the day").fill("recording=nobody");
  await page.locator(".reels .empty", { hasText: "recording=nobody" }).waitFor();
  seen.nothingFound = await page.textContent(".reels .empty");
  await page.getByLabel("Find reels of the day").fill("");
  await reel.waitFor();
  await page.getByRole("button", { name: "Verify" }).click();
  await page.waitForFunction(() => /bytes of the reels were not read|as (it was|they were) sealed/.test(document.querySelector('[aria-label="Proof"]')?.textContent ?? ""));
  // A look ends when it is asked to, and tells what it has.
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByLabel("Proof").getByRole("button", { name: "Stop" }).click();
  await page.waitForFunction(() => /were not read|sealed|stopped/.test(document.querySelector('[aria-label="Proof"] h2')?.textContent ?? "") && !document.querySelector('[aria-label="Proof"]').textContent.includes("Comparing"));
  seen.lookStopped = await page.textContent('[aria-label="Proof"] h2');
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByRole("button", { name: "Read all bytes" }).waitFor();
  // The bytes as well, once it is said how many they are.
  await page.getByRole("button", { name: "Read all bytes" }).click();
  await dialog(page).waitFor();
  seen.toRead = await answer(page, "Read");
  await page.waitForFunction(() => /[1-9]\d* read and hashed/.test(document.querySelector('[aria-label="Proof"]')?.textContent ?? ""));
  seen.proof = await page.textContent('[aria-label="Proof"]');
  seen.verified = await reel.locator(".verified").textContent();
  // What is in the archive by now can be tried on before the next recording.
  await view(page, "Recordings");
  await page.getByRole("button", { name: "New recording" }).click();
  await form.getByLabel("Try it over").selectOption(store);
  await page.waitForFunction((over) => document.querySelector(".form:not([hidden]) .tried b") && document.querySelector(".form:not([hidden]) .tried").textContent.includes(`Over ${over}`), store);
  seen.triedOverStore = await form.locator(".tried").textContent();
  await form.getByRole("button", { name: "Cancel" }).click();
  await card.getByRole("button", { name: "Stop" }).click();
  await dialog(page).waitFor();
  seen.stopQuestion = await answer(page, "Stop recording");
  await page.waitForFunction(() => !document.querySelector('.card[data-name="errors"] button.stop, .card[data-name="errors"] .badge.good'));
  seen.stopped = true;
  await view(page, "Traffic");
  await page.waitForFunction(() => document.querySelector(".cover-keys .upload"));
  seen.cover = await page.textContent(".cover-keys");
  // What the store has by itself, its items too, by a link as well; and the live run again.
  await page.getByLabel("Source", { exact: true }).selectOption(store);
  const ofStore = () => page.waitForFunction(() => document.querySelector(".top [role=status]").textContent === "recorded" && document.querySelector(".list .row[id^='row--']"));
  await ofStore();
  await page.keyboard.press("Escape");
  seen.place = { link: new URL(page.url()).searchParams.get("place"), told: await page.textContent(".where") };
  await page.locator(".list .row[id^='row--']").last().click();
  await page.locator(".details .fold").first().waitFor();
  seen.place.title = await page.textContent(".details h2");
  await page.goto(page.url());
  await ofStore();
  await page.locator(".details .fold").first().waitFor();
  seen.place.linked = await page.textContent(".details h2");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Back to the live run" }).click();
  await page.waitForFunction(() => document.querySelector(".top [role=status]").textContent === "streaming" && document.querySelector(".list .row[id]:not([id^='row--'])"));
  seen.place.back = new URL(page.url()).searchParams.get("place");

  // Scripts: a mistake is found, a word proposed, the file saved, a conflict told.
  await view(page, "Scripts");
  await page.locator(".files .file", { hasText: "Counts answers" }).click();
  const area = page.getByRole("textbox", { name: "Script" });
  await page.waitForFunction(() => document.querySelector("textarea.code").value.includes("onItemCaptured"));
  const original = await area.inputValue();
  seen.scriptLink = new URL(page.url()).searchParams.get("script");
  await page.goto(page.url());
  await page.waitForFunction((text) => document.querySelector("textarea.code")?.value === text, original);
  await area.fill(`${original}\nconsole.lgo("x");\n`);
  await page.waitForSelector(".findings li");
  seen.finding = await page.textContent(".findings");
  await area.fill(`${original}\n`);
  await area.press("Control+End");
  await area.pressSequentially("conso", { delay: 20 });
  await page.waitForSelector(".editor .proposals li");
  seen.proposal = await page.textContent(".editor .proposals");
  await area.press("Escape");
  await area.fill(`${original}// saved by the page\n`);
  await area.press("Control+s");
  await page.waitForFunction(() => /Saved at/.test(document.querySelector(".desk .said").textContent));
  appendFileSync(path.join(scripts, "count.js"), "// changed by another\n");
  await area.fill(`${original}// saved by the page\n// too late\n`);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await dialog(page).waitFor();
  seen.conflict = await answer(page, "Show the other version");
  await page.waitForFunction(() => document.querySelector("textarea.code").value.includes("changed by another"));
  await page.getByRole("button", { name: "New script" }).click();
  await dialog(page).getByLabel("File name").fill("fresh.js");
  await answer(page, "Begin");
  await page.locator(".desk .said", { hasText: "new, not saved yet" }).waitFor();
  await area.fill("// Fresh\nvar fresh = 1;\n");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.locator(".files .file", { hasText: "Fresh" }).waitFor();
  const onOff = page.getByRole("switch", { name: "Fresh runs" });
  await onOff.waitFor();
  await onOff.click();
  await answer(page, "Switch off");
  await page.waitForFunction(() => [...document.querySelectorAll('[role="switch"]')].some((one) => one.textContent === "off"));
  seen.switchedOff = await onOff.textContent();
  await page.getByRole("button", { name: "Run now: tell" }).click();
  await page.waitForFunction(() => document.querySelector(".console").textContent.includes("seen some answers"));
  await page.getByLabel("Search the console").fill("seen some");
  seen.console = await page.textContent(".console");
  // Jobs: their scheduler is stopped and started, one is removed; a script is deleted.
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.waitForFunction(() => /scheduler is stopped/.test(document.querySelector(".page.scripts").textContent));
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForFunction(() => /scheduler runs/.test(document.querySelector(".page.scripts").textContent));
  await page.getByRole("button", { name: "Remove: tell" }).click();
  seen.removeQuestion = await answer(page, "Remove");
  await page.getByRole("button", { name: "Remove: tell" }).waitFor({ state: "detached" });
  await page.locator(".files .file", { hasText: "Fresh" }).click();
  await page.waitForFunction(() => document.querySelector("textarea.code").value.includes("var fresh"));
  await page.getByRole("button", { name: "Delete\u2026" }).click();
  seen.deleteQuestion = await answer(page, "Delete");
  await page.locator(".files .file", { hasText: "Fresh" }).waitFor({ state: "detached" });

  // A request is sent once more, after it was shown.
  await view(page, "Traffic");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator(".list .row[id]", { hasText: "GET" }).first().click();
  await page.getByRole("button", { name: /Send again/ }).click();
  await dialog(page).waitFor();
  await dialog(page).getByLabel("Times", { exact: true }).fill("3");
  seen.replayQuestion = await answer(page, "Send it");
  await page.waitForFunction(() => /answered after|was not sent/.test(document.querySelector("dialog[open]")?.textContent ?? ""));
  seen.replayAnswer = await answer(page, "Close");
  await view(page, "Audit");
  await page.waitForSelector(".grid tbody tr");
  seen.audit = await page.textContent(".grid");

  await axe(browser, tools, url, seen, {
    Traffic: async (one) => {
      await one.getByRole("button", { name: "Pause" }).click();
      await one.locator(".list .row[id]").first().click();
    },
    Recordings: (one) => one.getByRole("button", { name: "New recording" }).click(),
    Archive: (one) => one.waitForSelector(".archive .reels .reel, .archive .empty"),
    Scripts: (one) => one.locator(".files .file").first().click(),
    Audit: (one) => one.waitForSelector(".grid tbody tr"),
  });

  // Somebody who may only look.
  const context = await browser.newContext({ viewport: { width: 1400, height: 860 } });
  const other = await context.newPage();
  other.setDefaultTimeout(30000);
  const asView = new URL(url);
  asView.searchParams.set("token", viewToken);
  watch(other, url, seen, [403]);
  await other.goto(asView.href);
  await other.waitForSelector(".list .row[id]");
  await other.getByRole("button", { name: "Pause" }).click();
  await other.locator(".list .row[id]").first().click();
  await other.waitForSelector(".details .empty h2");
  seen.viewDetails = await other.textContent(".details");
  const record = await other.getByRole("button", { name: "Record\u2026" }).isEnabled();
  await view(other, "Recordings");
  seen.viewMay = { make: await other.getByRole("button", { name: "New recording" }).isEnabled(), why: await other.getByRole("button", { name: "New recording" }).getAttribute("title") };
  await view(other, "Archive");
  await other.getByLabel("Store").selectOption(store);
  await other.waitForSelector(".reels .reel");
  seen.viewMay.record = record;
  seen.viewMay.verify = await other.getByRole("button", { name: "Verify" }).isEnabled();
  seen.viewMay.links = await other.locator(".reels a").count();
  await view(other, "Scripts");
  await other.waitForSelector(".desk .empty");
  seen.viewScripts = await other.textContent(".desk");
  await view(other, "Audit");
  await other.waitForSelector(".page .empty h2");
  seen.viewAudit = await other.textContent(".hold");
} catch (error) {
  await told(browser);
  throw error;
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
