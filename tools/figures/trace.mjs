// What Chromium's own tracing and its processes say of a page.

import { readFileSync } from "node:fs";

// Frames of the compositor, and the main thread's tasks.
const CATEGORIES = ["cc", "benchmark", "devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"];
const MIB = 2 ** 20;
const LONG_MS = 50;

// Traces `browser` while `act` runs: frames that reached the screen and those that did not, the longest wait
// between two, tasks of the page's main thread.
//
// A frame that nothing on the page asked for is neither; `still` frames changed nothing.
export async function traced(browser, page, act) {
  await browser.startTracing(page, { categories: CATEGORIES });
  const began = performance.now();
  await act();
  const seconds = (performance.now() - began) / 1000;
  const { traceEvents: events } = JSON.parse((await browser.stopTracing()).toString());
  const renderer = pageProcess(events);
  const frames = { presented: [], dropped: 0, still: 0 };
  for (const event of events) {
    if (event.pid !== renderer || event.name !== "PipelineReporter" || !event.args?.chrome_frame_reporter) continue;
    const { state } = event.args.chrome_frame_reporter;
    if (state === "STATE_PRESENTED_ALL" || state === "STATE_PRESENTED_PARTIAL") frames.presented.push(event.ts / 1000);
    else if (state === "STATE_DROPPED") frames.dropped += 1;
    else frames.still += 1;
  }
  frames.presented.sort((a, b) => a - b);
  const gaps = frames.presented.slice(1).map((at, index) => at - frames.presented[index]).sort((a, b) => a - b);
  const main = events.find((event) => event.pid === renderer && event.name === "thread_name" && event.args?.name === "CrRendererMain")?.tid;
  const tasks = events.filter((event) => event.pid === renderer && event.tid === main && event.name === "RunTask" && event.ph === "X").map((event) => event.dur / 1000);
  const span = frames.presented.length > 1 ? (frames.presented.at(-1) - frames.presented[0]) / 1000 : seconds;
  return {
    seconds: round(seconds), framesPerSecond: round((frames.presented.length - 1) / span), dropped: frames.dropped, p99Ms: round(gaps[Math.floor(gaps.length * 0.99)] ?? 0), longestMs: round(gaps.at(-1) ?? 0),
    busyPercent: round(tasks.reduce((sum, ms) => sum + ms, 0) / seconds / 10), longTasks: tasks.filter((ms) => ms > LONG_MS).length, longestTaskMs: round(Math.max(0, ...tasks)),
  };
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
