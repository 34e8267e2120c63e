// The service map: who speaks to whom, how much, and how it goes.

import * as api from "../lib/api.js";
import { asking } from "../lib/asking.js";
import { visible } from "../lib/bidi.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { clause } from "../lib/kfl.js";
import { ABOVE_RIM, loop } from "../lib/loop.js";
import { loading, notice, trouble } from "../parts/dialog.js";
import { menu } from "../parts/menu.js";
import { whenReleased } from "../parts/pressing.js";
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from "../vendor/d3-force.js";

// A few nodes of a live run are drawn as they speak.
const AGAIN_MS = 3000;
const LIVE_MS = 500;
const LIMIT = 800;
const SVG = "http://www.w3.org/2000/svg";
const LABELLED = 60;
// Nodes beyond which all is drawn finer.
const MANY = 120;
// Pixels of a letter of a name, and of the rim around all nodes.
const LETTER = 6.8;
const BESIDE = 90;
const ABOVE = 42;
const MAX_PLACES = 5000;
const NODES = { name: "names", pod: "pods", service: "services", namespace: "namespaces", node: "nodes of the cluster" };
const LABELS = { count: "items", rate: "items a second", bytes: "bytes a second", requestBytes: "bytes a second of requests", responseBytes: "bytes a second of responses", p99: "p99" };
// Those that are about traffic; lines are as wide and nodes as large as it is then, else as items are many.
const TRAFFIC = ["bytes", "requestBytes", "responseBytes"];

export function mapView(frame) {
  const by = el("select", { "aria-label": "Nodes are", onchange: () => {
    frame.remember({ nodes: by.value });
    load();
  } }, Object.entries(NODES).map(([name, title]) => el("option", { value: name }, title)));
  const said = el("span", { class: "said", role: "status" });
  const legend = el("span", { class: "legend", role: "group", "aria-label": "Protocols" });
  const labels = el("select", { "aria-label": "Labels are", onchange: () => {
    frame.remember({ labels: labels.value });
    if (found) draw(found);
  } }, Object.entries(LABELS).map(([name, title]) => el("option", { value: name }, title)));
  // What a link says of them, or an entry of the history.
  function take() {
    const { nodes, labels: shown } = frame.state;
    by.value = Object.hasOwn(NODES, nodes) ? nodes : by.options[0].value;
    labels.value = Object.hasOwn(LABELS, shown) ? shown : labels.options[0].value;
  }
  const search = el("input", { type: "search", placeholder: "Names", "aria-label": "Show these names alone", size: 14, oninput: () => found && draw(found) });
  const names = el("div", { class: "names", role: "group", "aria-label": "Names" });
  const namesMenu = menu("Names", [names], { stays: true });
  // Protocols that somebody hid, and nodes.
  const hidden = new Set();
  const without = new Set();
  const asked = asking();
  let shown = "";
  let found = null;
  let last = "";
  let pointed = null;
  const world = svg("g");
  const edgesNode = svg("g", { class: "edges" });
  const nodesNode = svg("g", { class: "nodes" });
  world.append(edgesNode, nodesNode);
  const picture = svg("svg", { role: "group", "aria-label": "Service map", tabindex: 0 }, arrowHead(), world);
  const empty = el("div", { hidden: true });
  const node = el("div", { class: "page map" }, el("div", { class: "tools" }, el("label", {}, "Nodes ", by), el("label", {}, "Labels ", labels), search, namesMenu, el("button", { onclick: () => fit() }, "Fit"), el("button", { onclick: () => load() }, "Refresh"), legend, said), empty, picture);
  const places = new Map();
  const view = { x: 0, y: 0, k: 1, moved: false };
  let simulation = null;
  let timer = null;
  let drawn = { nodes: [], edges: [] };

  async function load() {
    clearTimeout(timer);
    const { q, place } = frame.state;
    const other = frame.unsummed();
    if (other) {
      asked.giveUp();
      return blank(other);
    }
    // What was drawn is of another place.
    if (shown !== place) blank(loading("who speaks to whom"));
    shown = place;
    try {
      const answer = await asked.ask([place, q, by.value].join("\n"), (signal) => api.map(q, place, by.value, LIMIT, signal));
      if (!answer) return;
      const text = JSON.stringify([place, q, answer]);
      if (q === frame.state.q && node.isConnected && text !== last) {
        last = text;
        whenReleased(node, () => last === text && draw(answer));
      }
    } catch (error) {
      blank(trouble(error, load));
    }
    const live = frame.state.status?.run.live && !place && drawn.nodes.length <= MANY;
    timer = setTimeout(() => node.isConnected && !frame.state.paused && load(), live ? LIVE_MS : AGAIN_MS);
  }
  function blank(what) {
    last = "";
    found = null;
    drawn = { nodes: [], edges: [] };
    edgesNode.replaceChildren();
    nodesNode.replaceChildren();
    legend.replaceChildren();
    said.textContent = "";
    instead(what);
  }

  // Something else in place of the picture, or the picture again.
  function instead(shown) {
    empty.hidden = !shown;
    picture.style.display = shown ? "none" : "";
    empty.replaceChildren(shown ?? "");
  }
  // What is left when protocols are hidden and names searched for.
  function shownOf({ nodes, edges }) {
    const wanted = search.value.trim().toLowerCase();
    const named = new Set(nodes.filter((one) => one.id.toLowerCase().includes(wanted)).map((one) => one.id));
    const left = edges.filter((edge) => (named.has(edge.src) || named.has(edge.dst)) && !without.has(edge.src) && !without.has(edge.dst) && Object.keys(edge.protocols).some((abbr) => !hidden.has(abbr)));
    const met = new Set(left.flatMap((edge) => [edge.src, edge.dst]));
    return { nodes: nodes.filter((one) => met.has(one.id)), edges: left };
  }
  function drawLegend(protocols) {
    const change = (act) => () => {
      act();
      draw(found);
    };
    const focused = legend.contains(document.activeElement) ? [...legend.children].findIndex((one) => one.contains(document.activeElement)) : -1;
    legend.replaceChildren(...Object.entries(protocols).map(([abbr, colour]) => el("label", {}, el("input", { type: "checkbox", checked: !hidden.has(abbr), onchange: change(() => (hidden.has(abbr) ? hidden.delete(abbr) : hidden.add(abbr))) }),
      el("i", { style: { background: colour } }), abbr)),
    hidden.size ? el("button", { onclick: change(() => hidden.clear()) }, "Show all") : "",
    Object.keys(protocols).some((abbr) => !hidden.has(abbr)) ? el("button", { onclick: change(() => Object.keys(protocols).forEach((abbr) => hidden.add(abbr))) }, "Hide all") : "");
    if (focused >= 0) (legend.children[focused]?.querySelector("input") ?? legend.children[focused])?.focus();
  }
  // A box for each node, drawn anew when there are others; the list is long, and somebody may be in it.
  function drawNames(nodes) {
    const ids = nodes.map((one) => one.id);
    const now = JSON.stringify(ids);
    if (names.dataset.ids === now) return;
    names.dataset.ids = now;
    const boxes = ids.map((id) => el("input", { type: "checkbox", checked: !without.has(id), onchange: (event) => {
      if (event.target.checked) without.delete(id);
      else without.add(id);
      tellNames();
      draw(found);
    } }));
    const all = (on) => () => {
      without.clear();
      if (!on) ids.forEach((id) => without.add(id));
      boxes.forEach((box) => { box.checked = on; });
      tellNames();
      draw(found);
    };
    names.replaceChildren(el("div", {}, el("button", { onclick: all(true) }, "All"), el("button", { onclick: all(false) }, "None")), ...boxes.map((box, at) => el("label", {}, box, ids[at] || "(no name)")));
    tellNames();
  }
  function tellNames() {
    const out = found ? found.nodes.filter((one) => without.has(one.id)).length : 0;
    namesMenu.querySelector("summary").textContent = out ? `Names (${format.count(out)} hidden)` : "Names";
  }
  function draw(answer) {
    found = answer;
    drawNames(found.nodes);
    const span = Math.max(1, ...found.edges.map((edge) => edge.last)) - Math.min(...found.edges.map((edge) => edge.first), Infinity);
    const seconds = Math.max(1, Number.isFinite(span) ? span / 1000 : 1);
    const all = found.nodes.length;
    const left = shownOf(found);
    answer = { ...found, ...left };
    drawLegend(found.protocols);
    drawSome(answer, all, seconds);
  }
  function drawSome(found, all, seconds) {
    instead(found.nodes.length ? null : found.behind && !all ? loading("who speaks to whom") : all ? notice("Everybody is hidden", "Show more protocols or names, or search for another name.")
      : notice("Nobody speaks to anybody", frame.state.q ? "No item held here matches this filter; loosen it." : "No items yet; the map grows as they come."));
    const measure = TRAFFIC.includes(labels.value) ? labels.value : "count";
    const most = Math.max(1, ...found.edges.map((edge) => edge[measure]));
    const nodes = found.nodes.map((one) => {
      const known = places.get(one.id) ?? {};
      return Object.assign(known, one, { count: 0, bad: 0, much: 0 });
    });
    for (const one of nodes) places.set(one.id, one);
    // Those that are not drawn keep their places, but not all that ever were.
    if (places.size > MAX_PLACES) {
      const shown = new Set(nodes.map((one) => one.id));
      for (const id of [...places.keys()]) if (!shown.has(id)) places.delete(id);
    }
    const edges = found.edges.map((edge) => {
      for (const side of ["src", "dst"]) {
        const end = places.get(edge[side]);
        end.count += edge.count;
        end.bad += edge.bad;
        end.much += edge[measure];
      }
      // Bytes are so many that all logarithms of them are alike.
      const share = measure === "count" ? Math.log1p(edge.count) / Math.log1p(most) : Math.sqrt(edge[measure] / most);
      return { ...edge, source: places.get(edge.src), target: places.get(edge.dst), width: found.nodes.length > MANY ? 0.5 + 2 * share : 1 + 6 * share };
    });
    const many = nodes.length > MANY;
    edgesNode.classList.toggle("many", many);
    const changed = nodes.length !== drawn.nodes.length || edges.length !== drawn.edges.length || nodes.some((one) => one.x === undefined);
    drawn = { nodes, edges };
    const busiest = Math.max(1, ...nodes.map((one) => one.much));
    for (const one of nodes) one.r = many ? 3 + 9 * Math.sqrt(one.much / busiest) : 6 + 3 * Math.log2(1 + (one.much / most) * 50);
    // What is drawn last lies on top.
    nodes.sort((a, b) => a.much - b.much);
    // Whoever is there with the keys stays there.
    const focused = world.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    edgesNode.replaceChildren(...edges.map((edge) => edgeNode(edge, found.protocols, seconds)));
    nodesNode.replaceChildren(...nodes.map((one) => nodeNode(one)));
    if (focused) [...edgesNode.children, ...nodesNode.children].find((one) => one.dataset.id === focused)?.focus({ preventScroll: true });
    said.textContent = nodes.length === 0 ? ""
      : `${format.some(nodes.length, "node")}, ${format.some(edges.length, "pair")}${found.more ? `, ${format.count(found.more)} smaller pairs not drawn` : ""}${found.behind ? `; ${format.count(found.behind)} items still to be counted` : ""}. Red: failures. A click narrows the filter.`;
    if (changed) settle();
    else place();
    if (pointed !== null) near(drawn.nodes.some((one) => one.id === pointed) ? pointed : null);
  }

  function settle() {
    simulation?.stop();
    const { nodes, edges } = drawn;
    const many = nodes.length > MANY;
    // Many fill the picture evenly, which is wider than it is high; few stand apart as they belong together.
    const shape = Math.min(12, ((picture.clientWidth || 2) / (picture.clientHeight || 1)) ** 2);
    simulation = forceSimulation(nodes)
      .force("link", forceLink(edges).distance(many ? 60 : 140).strength(many ? 0.03 : 0.4))
      .force("charge", forceManyBody().strength(many ? -80 : -420).distanceMax(many ? 200 : 600))
      .force("x", forceX().strength(many ? 0.008 : 0.03)).force("y", forceY().strength(many ? 0.008 * shape : 0.1))
      .force("collide", forceCollide((one) => one.r + (many ? 16 : 24)))
      .stop();
    // Settled before it is shown: nothing jumps about, also for those who ask for less motion.
    simulation.tick(nodes.length > 300 ? 120 : 300);
    if (many) widen(nodes);
    if (view.moved) place();
    else fit();
  }

  // Uses what the picture has to the left and the right.
  function widen(nodes) {
    const [xs, ys] = [nodes.map((one) => one.x), nodes.map((one) => one.y)];
    const span = (all) => Math.max(1, Math.max(...all) - Math.min(...all));
    const room = (picture.clientWidth - 2 * BESIDE) / Math.max(1, picture.clientHeight - 2 * ABOVE);
    const by = Math.min(2, Math.max(1, (room * span(ys)) / span(xs)));
    for (const one of nodes) one.x *= by;
  }

  // Zooming moves nodes apart; what they are drawn with stays as large as it is, so that it can be read.
  const on = (one) => ({ x: one.x * view.k, y: one.y * view.k, r: one.r });
  function place() {
    drawn.edges.forEach((edge, index) => {
      const [source, target] = [on(edge.source), on(edge.target)];
      const parts = edgesNode.children[index];
      if (edge.source === edge.target) {
        const { d, label: at } = loop(source);
        parts.firstChild.setAttribute("d", d);
        for (const axis of ["x", "y"]) parts.lastChild.setAttribute(axis, at[axis]);
        return;
      }
      const dx = target.x - source.x;
      const dy = target.y - source.y;
      const far = Math.hypot(dx, dy) || 1;
      const to = [target.x - (dx / far) * (target.r + 7), target.y - (dy / far) * (target.r + 7)];
      const bend = [(source.x + to[0]) / 2 - dy * 0.12, (source.y + to[1]) / 2 + dx * 0.12];
      parts.firstChild.setAttribute("d", `M${source.x},${source.y} Q${bend[0]},${bend[1]} ${to[0]},${to[1]}`);
      parts.lastChild.setAttribute("x", (bend[0] + (source.x + to[0]) / 2) / 2);
      parts.lastChild.setAttribute("y", (bend[1] + (source.y + to[1]) / 2) / 2);
    });
    drawn.nodes.forEach((one, index) => nodesNode.children[index].setAttribute("transform", `translate(${one.x * view.k},${one.y * view.k})`));
    label();
  }

  // The busiest nodes are named first; a name that would lie on another one waits until there is room.
  function label() {
    const taken = [];
    const order = drawn.nodes.map((one, index) => [one, index]).sort(([a], [b]) => b.much - a.much);
    for (const [one, index] of order) {
      const text = nodesNode.children[index].lastChild;
      const { x, y, r } = on(one);
      const half = (text.textContent.length * LETTER) / 2 + 2;
      const box = [x - half, y + r + 2, x + half, y + r + 16];
      const fits = drawn.nodes.length <= LABELLED || !taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
      if (fits) taken.push(box);
      text.classList.toggle("hidden", !fits);
    }
  }
  // Whoever is pointed at, and who it speaks to.
  function near(id) {
    const ends = new Set([id]);
    drawn.edges.forEach((edge, index) => {
      const mine = id !== null && (edge.src === id || edge.dst === id);
      if (mine) ends.add(edge.src).add(edge.dst);
      edgesNode.children[index].classList.toggle("near", mine);
    });
    drawn.nodes.forEach((one, index) => nodesNode.children[index].classList.toggle("near", id !== null && ends.has(one.id)));
    world.classList.toggle("pointed", id !== null);
    pointed = id;
  }
  const pointedAt = (event) => {
    const group = event.target.closest?.(".nodes > g");
    near(group ? drawn.nodes[[...nodesNode.children].indexOf(group)]?.id ?? null : null);
  };
  for (const name of ["pointerover", "focusin"]) nodesNode.addEventListener(name, pointedAt);
  for (const name of ["pointerleave", "focusout"]) nodesNode.addEventListener(name, () => near(null));

  function edgeNode(edge, protocols, seconds) {
    const [abbr] = Object.entries(edge.protocols).sort((a, b) => b[1] - a[1])[0] ?? [""];
    const failing = edge.bad > 0;
    const title = `${edge.src} \u2192 ${edge.dst}\n${format.count(edge.count)} items, ${rate(edge.count / seconds)}, ${format.share(edge.bad, edge.count)} failed, ${format.bytes(edge.requestBytes)} of requests, ${format.bytes(edge.responseBytes)} of responses${edge.p50 === null ? "" : `\np50 ${format.took(edge.p50)}, p99 ${format.took(edge.p99)}`}\n${Object.entries(edge.protocols).map(([name, count]) => `${name} ${format.count(count)}`).join(", ")}`;
    const line = svg("path", { class: failing ? "failing" : "", "stroke-width": edge.width, "marker-end": "url(#arrow)" }, text("title", title));
    line.style.stroke = failing ? "" : protocols[abbr] ?? "";
    const label = text("text", drawn.edges.length <= LABELLED ? `${labelOf(edge, seconds)}${failing ? ` \u00b7 ${format.share(edge.bad, edge.count)}` : ""}` : "");
    const group = svg("g", { tabindex: 0, role: "button", "aria-label": `${label.textContent} ${title.replaceAll("\n", ", ")}`.trim() }, line, label);
    group.dataset.id = `${edge.src}\n${edge.dst}`;
    const narrow = () => frame.addClause(`${leadTo("src", edge.source)} and ${leadTo("dst", edge.target)}`);
    return leads(group, narrow);
  }
  function labelOf(edge, seconds) {
    if (labels.value === "rate") return rate(edge.count / seconds);
    if (TRAFFIC.includes(labels.value)) return `${format.bytes(Math.round(edge[labels.value] / seconds))}/s`;
    if (labels.value === "p99") return edge.p99 === null ? "" : format.took(edge.p99);
    return format.short(edge.count);
  }
  function nodeNode(one) {
    const title = `${one.id}\n${format.count(one.count)} items, ${format.share(one.bad, one.count)} failed`;
    const circle = svg("circle", { r: one.r, class: one.bad ? "failing" : "" }, text("title", title));
    const label = text("text", shorten(one.name));
    label.setAttribute("y", one.r + 13);
    const group = svg("g", { tabindex: 0, role: "button", "aria-label": title.replaceAll("\n", ", ") }, circle, label);
    group.dataset.id = one.id;
    return leads(group, () => frame.addClause(`(${leadTo("src", one)} or ${leadTo("dst", one)})`));
  }
  function leads(group, act) {
    group.addEventListener("click", () => !dragged && act());
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
    return group;
  }

  function move() {
    world.setAttribute("transform", `translate(${view.x},${view.y})`);
  }
  function fit() {
    const { nodes } = drawn;
    if (nodes.length === 0) return;
    const { clientWidth: width, clientHeight: height } = picture;
    const xs = nodes.map((one) => one.x);
    const ys = nodes.map((one) => one.y);
    const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    // Lines to oneself stand above nodes.
    const above = drawn.edges.some((edge) => edge.source === edge.target) ? ABOVE_RIM : 0;
    view.k = Math.max(0.05, Math.min(1.6, (width - 2 * BESIDE) / Math.max(1, box[2] - box[0]), (height - 2 * ABOVE - above) / Math.max(1, box[3] - box[1])));
    view.x = width / 2 - (view.k * (box[0] + box[2])) / 2;
    view.y = (height + above) / 2 - (view.k * (box[1] + box[3])) / 2 - 6;
    view.moved = false;
    place();
    move();
  }
  let dragged = false;
  picture.addEventListener("pointerdown", (down) => {
    dragged = false;
    const start = { x: down.clientX - view.x, y: down.clientY - view.y };
    const drag = (event) => {
      if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 4) return;
      dragged = true;
      Object.assign(view, { x: event.clientX - start.x, y: event.clientY - start.y, moved: true });
      move();
    };
    const end = () => {
      window.removeEventListener("pointermove", drag);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", drag);
    window.addEventListener("pointerup", end);
  });
  const zoom = (factor, x, y) => {
    const k = Math.min(8, Math.max(0.05, view.k * factor));
    Object.assign(view, { x: x - ((x - view.x) * k) / view.k, y: y - ((y - view.y) * k) / view.k, k, moved: true });
    place();
    move();
  };
  picture.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = picture.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  picture.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.25 : 0.8, picture.clientWidth / 2, picture.clientHeight / 2);
  });
  new ResizeObserver(() => !view.moved && fit()).observe(picture);

  const hide = () => {
    clearTimeout(timer);
    asked.giveUp();
  };
  const show = () => {
    take();
    load();
  };
  return { node, show, hide };
}

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, key === "aria-label" ? visible(value) : value);
  made.append(...children);
  return made;
}

// Labels are for the eye; what has one also has a name.
function text(name, content) {
  const made = svg(name, name === "text" ? { "aria-hidden": "true" } : {});
  made.textContent = visible(content);
  return made;
}

function arrowHead() {
  return svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 10 10", refX: 6, refY: 5, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0,0 L10,5 L0,10 z" })));
}

const rate = (perSecond) => `${format.short(Math.round(perSecond * 100) / 100)}/s`;
// The clause that leads to the items in which a node is on this side.
function leadTo(side, { any }) {
  const clauses = any.map(({ path, value }) => clause([side, ...path.split(".")], value));
  return clauses.length === 1 ? clauses[0] : `(${clauses.join(" or ")})`;
}
const shorten = (name) => (name.length > 28 ? `${name.slice(0, 27)}\u2026` : name);
