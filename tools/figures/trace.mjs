// What Chromium's own tracing and its processes say of a page.

import { readFileSync } from "node:fs";

// Frames of the compositor, and the main thread's tasks.
const CATEGORIES = ["cc", "benchmark", "devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"];
const MIB = 2 ** 20;
const LONG_MS = 50;

// Traces `browser` while `act` runs: frames that reached the screen and those that did not, the longest wait
// between two, tasks of the page's main thread. A frame that nothing on the page asked for is neither.
export async function traced(browser, page, act) {
  await browser.startTracing(page, { categories: CATEGORIES });
  const began = performance.now();
  await act();
  const seconds = (performance.now() - began) / 1000;
  const { traceEvents: events } = JSON.parse((await browser.stopTracing()).toString());
  const renderer = pageProcess(events);
  // Of one frame there may be several reports: of the page's own work and of the compositor's.
  const presented = new Map();
  const dropped = new Set();
  for (const event of events) {
    const report = event.args?.frame_reporter ?? event.args?.chrome_frame_reporter;
    if (event.pid !== renderer || event.name !== "PipelineReporter" || !report) continue;
    const id = `${report.frame_source} ${report.frame_sequence}`;
    if (/^STATE_PRESENTED/.test(report.state)) presented.set(id, Math.min(event.ts / 1000, presented.get(id) ?? Infinity));
    else if (report.state === "STATE_DROPPED") dropped.add(id);
  }
  const times = [...presented.values()].sort((a, b) => a - b);
  const lost = [...dropped].filter((id) => !presented.has(id)).length;
  const gaps = times.slice(1).map((at, index) => at - times[index]).sort((a, b) => a - b);
  const main = events.find((event) => event.pid === renderer && event.name === "thread_name" && event.args?.name === "CrRendererMain")?.tid;
  const tasks = events.filter((event) => event.pid === renderer && event.tid === main && event.name === "ThreadControllerImpl::RunTask" && event.ph === "X").map((event) => event.dur / 1000);
  const span = times.length > 1 ? (times.at(-1) - times[0]) / 1000 : seconds;
  return {
    seconds: round(seconds), framesPerSecond: round((times.length - 1) / span), dropped: lost, p99Ms: round(gaps[Math.floor(gaps.length * 0.99)] ?? 0), longestMs: round(gaps.at(-1) ?? 0),
    busyPercent: round(tasks.reduce((sum, ms) => sum + ms, 0) / seconds / 10), longTasks: tasks.filter((ms) => ms > LONG_MS).length, longestTaskMs: round(Math.max(0, ...tasks)),
  };
}

// How often a second the page could draw while `act` ran, whether or not there was something to draw, and the
// longest waits between two.
export async function animation(page, act) {
  await page.evaluate(() => {
    window.ticks = [];
    const tick = (now) => {
      window.ticks.push(now);
      window.ticking = requestAnimationFrame(tick);
    };
    window.ticking = requestAnimationFrame(tick);
  });
  await act();
  const gaps = await page.evaluate(() => {
    cancelAnimationFrame(window.ticking);
    return window.ticks.slice(1).map((time, index) => time - window.ticks[index]);
  });
  const sorted = gaps.slice().sort((a, b) => a - b);
  return { ticksPerSecond: round(gaps.length / (gaps.reduce((sum, gap) => sum + gap, 0) / 1000)), p99TickMs: round(sorted[Math.floor(sorted.length * 0.99)] ?? 0), longestTickMs: round(sorted.at(-1) ?? 0) };
}

// The renderer that did most of the page's work.
function pageProcess(events) {
  const counts = new Map();
  for (const event of events) if (event.name === "PipelineReporter") counts.set(event.pid, (counts.get(event.pid) ?? 0) + 1);
  const renderers = new Set(events.filter((event) => event.name === "thread_name" && event.args?.name === "CrRendererMain").map((event) => event.pid));
  return [...counts].filter(([pid]) => renderers.has(pid)).sort((a, b) => b[1] - a[1])[0]?.[0];
}

// Reads the memory of a page: of its heap, and of the processes that draw pages as the system counts them.
export async function memory(browser, page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const whole = await browser.newBrowserCDPSession();
  return async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    const value = (name) => metrics.find((one) => one.name === name)?.value ?? 0;
    const { processInfo } = await whole.send("SystemInfo.getProcessInfo");
    const tabs = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => pss(id));
    return { heapMiB: round(value("JSHeapUsedSize") / MIB), tabMiB: round(Math.max(0, ...tabs)), nodes: value("Nodes") };
  };
}

// Memory of a process that it does not share, and its part of what it does, in MiB.
function pss(pid) {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))[1]) / 1024;
  } catch {
    return 0;
  }
}

export const round = (number) => Math.round(number * 10) / 10;
