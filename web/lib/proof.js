// What a look at an archive proved, as tone and words. Pure.

import * as format from "./format.js";

// Whether the bytes of all reels are those that were sealed: they were read, or the store keeps their checksums.
export const hasBytes = ({ parts, read, checksums }) => Math.max(read, checksums) >= parts;

// Of the whole store.
export function outcome({ clean, findings, moreFindings, counts }) {
  const wrong = findings.length + moreFindings;
  if (!clean) return ["bad", `${format.some(wrong, "object")} ${wrong === 1 ? "is not as it was" : "are not as they were"} sealed`];
  if (hasBytes(counts)) return ["good", "Everything that was looked at is as it was sealed"];
  return ["warn", "Manifests and sizes are as sealed; the bytes of the reels were not read"];
}

// Of one reel, by its name and when it was sealed; `report` is null where nobody looked.
export function verdict(report, { name, sealed }) {
  if (!report) return ["soft", "not looked at here yet"];
  const at = format.rfc(report.at);
  const found = report.findings.filter((one) => one.key.startsWith(name));
  if (found.length) return ["bad", found.map((one) => one.sentence).join("; ")];
  if (Date.parse(sealed) > Date.parse(report.at)) return ["soft", `sealed after the store was looked at, ${at}`];
  if (report.moreFindings) return ["soft", "not known: more was found than is listed"];
  if (!hasBytes(report.counts)) return ["warn", `size as sealed, bytes not read, ${at}`];
  return ["good", `as it was sealed, ${at}`];
}
