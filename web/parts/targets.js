// Which pods are captured: a word in the head, the list behind it, and the form that changes it.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { confirm } from "./dialog.js";

const AGAIN_MS = 15000;
const SHOWN = 200;
const NAMED = 3;

const stateOf = ({ status }) => [status?.phase, status?.reason].filter(Boolean).join(": ");

export function targetsBanner({ whyNot, place }) {
  const button = el("button", { class: "targets", hidden: true, onclick: () => {
    about.hidden = !place();
    dialog.showModal();
  } });
  const about = el("p", { class: "soft" }, "This is about the live run, whatever place is looked at.");
  const list = el("div", { class: "pods" });
  const fixed = el("p", { class: "soft" });
  const said = el("p", { class: "bad", role: "alert" });
  const field = (label, hint) => {
    const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: hint });
    return [input, el("label", { class: "field" }, el("span", {}, label), input)];
  };
  const [regex, regexField] = field("Names of pods contain (regular expression)", "empty: all");
  const [namespaces, namespacesField] = field("Namespaces", "empty: all; otherwise a, b");
  const [excluded, excludedField] = field("Left out namespaces", "a, b");
  const [bpf, bpfField] = field("Capture filter (BPF); with one, pods do not count", "empty: none; as tcp port 8080");
  const capture = el("button", { class: "main", type: "submit", form: "targets-form" }, "Capture these\u2026");
  const form = el("form", { class: "form", id: "targets-form", "aria-label": "What is captured", onsubmit: change }, el("div", { class: "fields" }, regexField, namespacesField, excludedField, bpfField),
    el("p", { class: "soft" }, "This holds for all nodes, from now on until the configuration changes."), said);
  const dialog = el("dialog", { class: "ask", "aria-label": "Pods" }, el("h2", {}, "Pods whose traffic is captured"), about, list, form, fixed,
    el("div", { class: "acts" }, el("button", { onclick: () => dialog.close() }, "Close"), capture));
  const names = (input) => input.value.split(",").map((name) => name.trim()).filter(Boolean);
  let filled = false;

  function draw({ targets, excluded: outside, wanted }) {
    button.hidden = !wanted;
    if (!wanted) return;
    const spaces = [...new Set(targets.map((pod) => pod.metadata.namespace))].sort();
    const more = spaces.length > NAMED ? ` and ${spaces.length - NAMED} more` : "";
    if (wanted.bpf) button.textContent = `capture filter: ${wanted.bpf}`;
    else button.textContent = `${format.count(targets.length)} ${targets.length === 1 ? "pod" : "pods"} in ${spaces.slice(0, NAMED).join(", ") || "no namespace"}${more}`;
    button.title = wanted.bpf ? "All that passes this filter is captured, of pods and others" : targets.slice(0, 30).map((pod) => `${pod.metadata.name}  ${pod.metadata.namespace}  ${stateOf(pod)}`).join("\n");
    const rows = targets.slice(0, SHOWN).map((pod) => el("tr", {}, el("td", {}, pod.metadata.name), el("td", {}, pod.metadata.namespace), el("td", {}, stateOf(pod)), el("td", {}, pod.spec?.nodeName ?? "")));
    list.replaceChildren(el("table", { class: "grid" }, el("thead", {}, el("tr", {}, ["Pod", "Namespace", "Status", "Node"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)),
      el("p", { class: "soft" }, `${targets.length > SHOWN ? `${format.count(targets.length - SHOWN)} more are captured. ` : ""}${format.count(outside.length)} pods are not captured.`));
    const why = whyNot("operate");
    form.hidden = capture.hidden = why !== "";
    fixed.textContent = why;
    if (filled) return;
    filled = true;
    regex.value = wanted.regex;
    namespaces.value = wanted.namespaces.join(", ");
    excluded.value = wanted.excluded.join(", ");
    bpf.value = wanted.bpf;
  }
  async function change(event) {
    event.preventDefault();
    said.textContent = "";
    const wanted = { regex: regex.value.trim(), namespaces: names(namespaces), excluded: names(excluded), bpf: bpf.value.trim() };
    const sure = await confirm({
      title: "Capture other pods?", act: "Capture these",
      lines: [wanted.bpf ? "All nodes capture what passes this filter from now on, whichever pods it is of, and nothing else; recordings see no more than that." : "All nodes capture these pods from now on and no others; recordings see no more than that.", el("pre", {}, JSON.stringify(wanted, null, 2))],
    });
    if (!sure) return;
    try {
      draw(await api.target(wanted));
    } catch (error) {
      said.textContent = error.message;
    }
  }
  async function load() {
    try {
      draw(await api.targeted());
    } catch {
      button.hidden = true;
    }
    setTimeout(load, AGAIN_MS);
  }
  return { node: button, dialog, load };
}
