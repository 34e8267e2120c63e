// What the form of a recording says, as a declaration and in words. Pure.

import * as format from "./format.js";

const DURATION = /^\d+(ms|s|m|h|d)$/;
const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;

// {declared} or {wrong: {field, sentence}} of the values of the form.
export function declare(values) {
  const wrong = (field, sentence) => ({ wrong: { field, sentence } });
  const declared = { name: values.name.trim(), kfl: values.kfl.trim() };
  if (!/^[a-z0-9-]{1,63}$/.test(declared.name)) return wrong("name", "A name has 1 to 63 of a to z, 0 to 9 and -.");
  if (!declared.kfl) return wrong("kfl", "Say what to record; true records everything.");
  if (values.destination.trim()) declared.destination = values.destination.trim();
  const schedule = {};
  if (values.start) {
    if (!TIME.test(values.start)) return wrong("start", "A start is a time of day in UTC, such as 22:00.");
    schedule.start = values.start;
    if (values.iterations !== "") schedule.iterations = Number(values.iterations);
  }
  for (const field of ["duration", "expiry"]) {
    const value = values[field].trim();
    if (!value) continue;
    if (!DURATION.test(value)) return wrong(field, `Write the ${field} with a unit, such as 30m, 8h or 7d.`);
    schedule[field] = value;
  }
  if (Object.keys(schedule).length) declared.schedule = schedule;
  if (values.format !== "pcapng") declared.format = values.format;
  if (values.mode) {
    const days = Number(values.days);
    if (!Number.isInteger(days) || days < 1) return wrong("days", "A lock needs a number of days, 1 or more.");
    declared.retention = { mode: values.mode, days };
    if (values.mode === "COMPLIANCE") {
      if (Number(values.acknowledge) !== days) return wrong("acknowledge", `Nobody can lift a COMPLIANCE lock; write ${days} once more to confirm it.`);
      declared.retention.acknowledgeDays = days;
    }
  }
  if (values.legalHold) declared.legalHold = true;
  if (!values.lookBack) declared.lookBack = false;
  if (values.bytesPerDay.trim()) declared.limits = { bytesPerDay: values.bytesPerDay.trim() };
  if (values.redact) declared.redact = "credentials";
  if (values.payload !== "full") declared.payload = values.payload;
  return { declared };
}

// Sentences of what will happen with a declaration.
export function consequences(declared, destination, tried) {
  const lines = [`Streams with an item that matches ${declared.kfl} are recorded to ${declared.destination ?? destination}.`];
  const { start, duration, iterations, expiry } = declared.schedule ?? {};
  if (start) {
    const often = iterations === 0 ? "every day" : iterations > 1 ? `on ${iterations} days` : "once";
    lines.push(`It begins at ${start} UTC, ${often}${duration ? `, for ${duration} each` : ""}.`);
  } else lines.push(duration ? `It begins now and ends after ${duration}.` : "It begins now and goes on until you stop it, also after a restart.");
  if (expiry) lines.push(`It ends for good after ${expiry}.`);
  if (declared.lookBack !== false) lines.push("Streams are taken whole: what came before the match is fetched from the spool.");
  if (tried && tried.itemsSeen > 0) {
    lines.push(`Of the ${format.count(tried.itemsSeen)} items held here it would have kept ${format.count(tried.streams)} of ${format.count(tried.streamsSeen)} streams with ${format.bytes(tried.bytes)} of messages, about ${format.bytes(tried.bytesPerDay)} a day at this rate.`);
  }
  const lock = declared.retention;
  const days = lock?.days === 1 ? "1 day" : `${lock?.days} days`;
  if (lock?.mode === "COMPLIANCE") lines.push(`Every object is locked for ${days}: nobody can delete or shorten it in that time, not even the owner of the bucket.`);
  else if (lock) lines.push(`Every object is locked for ${days}: only somebody with the right to bypass GOVERNANCE can delete it in that time.`);
  else lines.push("No lock is asked for: the bucket's own default rules decide how long objects stay.");
  if (declared.legalHold) lines.push("A legal hold is put on every object: it cannot be deleted until somebody with the right lifts the hold.");
  if (declared.redact) lines.push("Credentials are overwritten before sealing; that cannot be undone.");
  if (declared.payload) lines.push(declared.payload === "headers" ? "Bodies are overwritten before sealing; that cannot be undone." : "Payloads are overwritten before sealing; that cannot be undone.");
  return lines;
}
