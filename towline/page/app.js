// The page put together: the address says what to look at, this loads it and keeps it up to date.
import { $, count, fill, h } from "./dom.js";
import { visible } from "./ansi.js";
import { Histogram } from "./histogram.js";
import { LEVELS } from "./levels.js";
import { List } from "./list.js";
import { Metrics } from "./metrics.js";
import { Pipeline } from "./pipeline.js";
import { Tail, ask, searching } from "./server.js";
import { Sidebar } from "./sidebar.js";
import { VIEWS, filters, isFiltered, isLive, marks, parsed, shown } from "./state.js";
import { after, iso, span } from "./times.js";
import { listen } from "./keys.js";

const PAGE = 300, MOST_PAGE = 5000, MOST_CONTAINERS = 1000, MOST_PICKED = 500;
// Fields that are filters of their own.
const OWN = { "service.name": "service", "container.name": "container", "container.id": "container", "host.name": "node", stream: "stream" };
const FIELD = /^[A-Za-z_@][\w.@/-]*$/;
let state = parsed(location.search), about = null;
let tail = null, loading = new AbortController(), more = { older: false, newer: false }, busy = {}, left = 0, ranged = "";

const list = new List($("scroller"), $("rows"), {
  older: () => page("older"), newer: () => page("newer"),
  follow: () => status(),
  pending: (number) => { $("fresh").hidden = !number; $("fresh").textContent = `${count(number)} new lines ↓`; },
  cut: () => { more.newer = true; stopTail(); status(); },
  context, link: (line) => copy(location.origin + shown({ ...state, at: place(line), until: "" }), "The link to this line is copied"), copy,
  phrase: (text) => refine({ q: `${state.q} ${quoted(text)}`.trim() }),
  field: (name, value) => OWN[name] ? refine({ [OWN[name]]: [...new Set([...state[OWN[name]], value])] })
    : FIELD.test(name) ? refine({ q: `${state.q} ${name}:${quoted(value)}`.trim() }) : copy(value, "No query can name this field; its value is copied"),
  hover: (moment) => hover(moment, true),
});
const hover = (moment, byLine = false) => { histogram.mark(moment); metrics.mark(moment); if (!byLine) list.mark(moment); };
const histogram = new Histogram($("histogram"), { choose: (since, until) => go({ since, until, at: "" }), hover });
const metrics = new Metrics($("metrics"), { hover, around: (moment) => go({ since: iso(moment - 60e3), until: iso(moment + 60e3), at: "" }) });
const pipeline = new Pipeline($("pipeline"));
const sidebar = new Sidebar($("services"), $("find"), (name) => refine({ service: toggled(state.service, name) }), () => overview(),
  (id) => refine({ container: toggled(state.container, id) }));

const quoted = (text) => `"${text.replaceAll('"', " ")}"`;
const toggled = (values, value) => values.includes(value) ? values.filter((each) => each !== value) : [...values, value];
const place = (line) => `${line.container?.id}:${line.event?.sequence}@${line["@timestamp"]}`;

// Looks at something else; `replace` keeps the back button as it is.
function go(changes, replace = false) {
  const before = state;
  state = { ...state, ...changes };
  history[replace ? "replaceState" : "pushState"](null, "", shown(state));
  if (shown({ ...before, view: "" }) === shown({ ...state, view: "" })) view(); else load();
}

// Other filters for the stretch of time that is looked at, also where that is the one around a line.
const refine = (changes) => go({ ...changes, ...(state.at ? edges() : {}), at: "" });

function trouble(text = "") {
  $("trouble").hidden = !text;
  $("trouble").textContent = text;
}

function status() {
  const live = isLive(state) && tail;
  document.body.classList.toggle("following", Boolean(live && list.following));
  const standing = !$("trouble").hidden && !list.lines.length;
  $("status").textContent = standing ? "" : `${live ? list.following ? "Following" : "Paused: scroll down to follow" : isLive(state) ? "Stopped" : "History"} · ${list.size} lines loaded`;
  $("empty").hidden = list.lines.length > 0 || Boolean(busy.first);
  $("edge").textContent = !list.lines.length || more.older ? "" : "No earlier lines in this range";
  if (!list.lines.length) fill($("empty"), ...nothing());
}

function nothing() {
  const range = state.until ? "between these times" : `in the last ${state.since}`;
  if (!$("trouble").hidden) return [h("p", {}, "Nothing to show: see the message above."), isFiltered(state) ? h("button", { type: "button", onclick: clear }, "Clear the filters") : null];
  if (isFiltered(state)) return [h("p", {}, `No line matches ${range}.`), h("button", { type: "button", onclick: clear }, "Clear the filters"), wider()];
  return [h("p", {}, `No line was written ${range}.`), wider(), h("p", {}, isLive(state) ? "What containers write appears here at once." : "")];
}

const clear = () => go({ q: "", service: [], container: [], node: [], stream: [], level: [], at: "", ...(badRange() ? { since: "15m", until: "" } : {}) });
const badRange = () => !$("trouble").hidden;
const wider = () => h("button", { type: "button", onclick: () => go({ since: "30d", until: "", at: "" }) }, "Look at 30 days");

function load() {
  loading.abort();
  loading = new AbortController();
  stopTail();
  trouble();
  left = 0;
  busy = { first: true };
  more = { older: false, newer: false };
  list.clear();
  list.marks = marks(state.q);
  if (isLive(state)) list.following = true;
  $("left").hidden = true;
  fill($("empty"), "Loading…");
  $("empty").hidden = false;
  controls();
  view();
  const { signal } = loading;
  (state.at ? aroundLine(signal) : newest(signal)).catch((error) => failed(error, signal));
  counted(signal);
}

function failed(error, signal) {
  if (signal.aborted) return;
  busy.first = false;
  trouble(error.message);
  status();
  if (error.status !== 400) setTimeout(() => { if (!signal.aborted) load(); }, 3000);
}

async function newest(signal) {
  if (isLive(state)) startTail(signal);
  const { hits, cut } = await ask("/api/search", searching(filters(state), { since: state.since, until: state.until, limit: PAGE }), signal);
  if (signal.aborted) return;
  busy.first = false;
  more.older = hits.length === PAGE || Boolean(cut);
  list.following = true;
  list.add(hits);
  status();
}

// A link to one line: that line in the middle, all lines of the filters around it.
async function aroundLine(signal) {
  const [, id, sequence, stamp] = /^([0-9a-f]+):(\d+)@(\S+)$/.exec(state.at) ?? [];
  if (!stamp) throw Object.assign(new Error("This link names no line: it was cut short or changed."), { status: 400 });
  const own = filters(state), until = { until: after(stamp), limit: PAGE };
  const [before, later] = await Promise.all([ask("/api/search", searching(own, until), signal),
    ask("/api/search", searching(own, { since: stamp, order: "asc", limit: PAGE }), signal)]);
  list.following = false;
  busy.first = false;
  more = { older: before.hits.length === PAGE, newer: true };
  list.add([...before.hits, ...later.hits]);
  if (!list.reveal(id, Number(sequence))) trouble("The line of this link is not there: it was forgotten by retention, or the filters leave it out.");
  status();
}

function startTail(signal) {
  tail = new Tail(filters(state), {
    onOpen: () => { trouble(); status(); },
    onTrouble: (text) => { if (!signal.aborted) { trouble(text); status(); } },
    onLines: (lines, skipped) => {
      if (skipped) leftOut(skipped);
      arrived.push(...lines);
      if (arrived.length > MOST_PAGE) { leftOut(arrived.length - MOST_PAGE); arrived.splice(0, arrived.length - MOST_PAGE); }
      scheduled ||= requestAnimationFrame(drawn) || true;
    },
  });
}

let arrived = [], scheduled = false;
function drawn() {
  scheduled = false;
  const lines = arrived;
  arrived = [];
  if (!tail) return;
  list.add(lines);
  status();
}

// In a hidden tab no frame comes: look now and then, so that memory stays bounded.
setInterval(() => { if (document.hidden && arrived.length) drawn(); }, 1000);

// A tab that nobody sees gives its connection back, and so does a page that was left.
let unseen = 0;
function seen() {
  clearTimeout(unseen);
  if (document.hidden) unseen = setTimeout(() => tail?.rest(), 5000);
  else if (tail && !tail.wake()) load();
}
document.addEventListener("visibilitychange", seen);
addEventListener("pagehide", () => { loading.abort(); tail?.rest(); });
addEventListener("pageshow", (event) => { if (event.persisted) load(); });

function stopTail() {
  tail?.close();
  tail = null;
  arrived = [];
}

function leftOut(lines) {
  left += lines;
  $("left").hidden = false;
  fill($("left"), h("span", {}, `${count(left)} lines left out to keep up; all are stored.`), h("button", { type: "button", onclick: () => go({ until: new Date().toISOString(), since: new Date(Date.now() - (span(state.since) ?? 900e3)).toISOString() }) }, "Show all"));
}

async function page(direction) {
  if (!more[direction] || busy[direction] || busy.first) return;
  const { signal } = loading;
  busy[direction] = true;
  try {
    let limit = PAGE, fresh = 0, hits = [], cut = false;
    while (!fresh && limit <= 9600) {
      const edge = direction === "older" ? list.lines[0] : list.lines.at(-1);
      const range = direction === "older" ? { since: state.at ? "" : state.since, until: after(edge["@timestamp"]), limit }
        : { since: edge["@timestamp"], until: state.until, order: "asc", limit };
      ({ hits, cut } = await ask("/api/search", searching(filters(state), range), signal));
      fresh = list.add(hits);
      if (hits.length < limit && !cut) break;
      limit *= 4;
    }
    more[direction] = fresh > 0 && (hits.length >= PAGE || Boolean(cut));
    busy[direction] = false;
    if (fresh) list[direction === "older" ? "up" : "down"]();
  } catch (error) {
    if (!signal.aborted) trouble(error.message);
    busy[direction] = false;
  }
  status();
}

async function context(line) {
  const { id } = line.container, { sequence } = line.event;
  go({ q: "", service: [], container: [id], node: [], stream: [], level: [], until: "", at: `${id}:${sequence}@${line["@timestamp"]}` });
}

async function counted(signal) {
  if (state.view === "pipeline") return;
  try {
    const given = filters(state), range = edges();
    for (const [name, value] of Object.entries(range)) if (value) given.set(name, value);
    const data = await ask("/api/histogram", given, signal);
    if (!signal.aborted) { histogram.show(data); await measured(data, signal); }
  } catch (error) {
    if (!signal.aborted && error.status !== 400) trouble(error.message);
  }
}

function edges() {
  const stamp = state.at.split("@")[1];
  if (!stamp) return { since: state.since, until: state.until };
  const middle = Date.parse(stamp.slice(0, 23) + "Z");
  return { since: new Date(middle - 450e3).toISOString(), until: new Date(middle + 450e3).toISOString() };
}

async function measured(data, signal) {
  if (state.view !== "metrics") return histogram.happened([]);
  if (!about) return metrics.say("Loading…");
  if (!about.features.includes("metrics")) return metrics.say("This page reads a store. Start it with --prometheus http://HOST:9090 to see here what Prometheus has from towline export.");
  const by = state.container.length ? "container" : state.service.length ? "service" : "node";
  const given = new URLSearchParams({ by, since: new Date(data.since).toISOString(), until: new Date(data.until).toISOString() });
  const nodes = about.features.includes("nodes");
  for (const name of ["service", "container", ...(nodes ? ["node"] : [])]) for (const value of state[name]) given.append(name, value);
  let answer;
  try { answer = await ask("/api/metrics", given, signal); } catch (error) { return signal.aborted ? null : unmeasured(error, signal); }
  if (signal.aborted) return;
  histogram.happened(answer.happened);
  metrics.show(answer, data.since, data.until, by === "node" ? !nodes ? "The whole node" : visible(state.node.join(", ")) || "All nodes" : visible(by === "container" ? state.container.map(called).join(", ") : state.service.join(", ")));
}

// The lines stay; their metrics come when they can.
function unmeasured(error, signal) {
  histogram.happened([]);
  metrics.say(error.message);
  if (error.status !== 400 && !isLive(state)) setTimeout(() => { if (!signal.aborted && state.view === "metrics") counted(signal); }, 5000);
}

// The list does not wait for what its containers use.
async function overview() {
  const { wanted } = sidebar;
  const using = about?.features.includes("metrics") ? ask("/api/metrics", "since=10m&series=cpu&series=memory&happened=no").catch(() => null) : null;
  try {
    const { containers, total } = await ask("/api/containers", new URLSearchParams({ limit: MOST_CONTAINERS, name: wanted }));
    if (wanted !== sidebar.wanted) return;
    sidebar.learn(containers, total, [...sidebar.live.values()], wanted, sidebar.many);
    pickers();
    const { groups, more: many } = (await using) ?? { groups: [] };
    if (wanted === sidebar.wanted) sidebar.learn(containers, total, groups, wanted, many);
  } catch (error) {
    if (!list.lines.length) trouble(error.message);
  }
}

let flowing = false;
async function flow() {
  if (state.view !== "pipeline") return;
  if (!about) return pipeline.say("Loading…");
  if (!about.features.includes("pipeline")) return pipeline.say("This page reads a store. Start it with --metrics http://HOST:8514/metrics for each towline ship and towline index to see the pipeline here.");
  if (flowing) return;
  flowing = true;
  try { pipeline.show(await ask("/api/pipeline")); trouble(); } catch (error) { trouble(error.message); }
  flowing = false;
}

async function learn() {
  about = await ask("/api/about").catch(() => null);
  overview();
  view();
}

function controls() {
  $("q").value = state.q;
  const range = edges(), preset = [...$("range").options].some((option) => option.value === range.since) && !range.until;
  $("range").value = preset ? range.since : "custom";
  $("custom").hidden = preset && ranged !== "custom";
  $("since").value = range.since;
  $("until").value = range.until;
  $("live").setAttribute("aria-pressed", String(isLive(state)));
  sidebar.chosen(state.service, state.container);
  pickers();
  const given = filters(state);
  for (const [name, value] of Object.entries(range)) if (value) given.set(name, value);
  for (const form of ["ndjson", "text"]) { given.set("format", form); $(form).href = `/api/download?${given}`; }
  chips();
}

function chips() {
  const chosen = ["service", "container", "node", "stream"].flatMap((name) => state[name].map((value) =>
    h("button", { type: "button", class: "chip", title: "Remove this filter", onclick: () => refine({ [name]: toggled(state[name], value) }) },
      `${name}: ${visible(name === "container" ? called(value) : value)} ×`)));
  const levels = LEVELS.map((level) => h("button", { type: "button", class: `chip l-${level}`, "aria-pressed": String(state.level.includes(level)),
    onclick: () => refine({ level: toggled(state.level, level) }) }, level === "none" ? "other" : level));
  const streams = ["stdout", "stderr"].filter((stream) => !state.stream.includes(stream)).map((stream) =>
    h("button", { type: "button", class: "chip", onclick: () => refine({ stream: [stream] }) }, stream));
  fill($("chips"), chosen, levels, streams);
}

// A container's name where it is known; links hold ids, which stay what they are.
function called(value) {
  return sidebar.known.find((row) => row.id === value)?.name || (/^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : value);
}

// What can be chosen beside what is chosen.
function pickers() {
  const rows = sidebar.known, nodes = [...new Set(rows.map((row) => row.node))].filter(Boolean).sort();
  options($("pick-node"), "Node", nodes.filter((name) => !state.node.includes(name)).map((name) => [name, name]));
  const fitting = rows.filter((row) => (!state.service.length || state.service.includes(row.service)) && (!state.node.length || state.node.includes(row.node)) && !state.container.includes(row.id));
  options($("pick-container"), "Container", fitting.slice(0, MOST_PICKED).map((row) => [row.id, nodes.length > 1 ? `${row.name} on ${row.node}` : row.name]).sort(([, a], [, b]) => a.localeCompare(b)));
}

function options(select, title, pairs) {
  const said = JSON.stringify(pairs);
  if (select.$said !== said) fill(select, h("option", { value: "" }, title), pairs.map(([value, text]) => h("option", { value }, visible(text))));
  select.$said = said;
  select.value = "";
  select.disabled = !pairs.length;
}

function view() {
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  $("pipeline").hidden = state.view !== "pipeline";
  $("logs").hidden = state.view === "pipeline";
  $("metrics").hidden = state.view !== "metrics";
  document.title = state.q ? `${state.q} – Towline` : "Towline";
  flow();
  if (state.view === "metrics") counted(loading.signal);
}

function copy(text, told) {
  const done = navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject(new Error("no clipboard"));
  done.then(() => toast(told), () => toast(text));
}

let toasting = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { $("toast").hidden = true; }, 4000);
}

function remembered(name) { try { return localStorage.getItem(name); } catch { return null; } }
function remember(name, value) { try { localStorage.setItem(name, value); } catch { /* private windows keep nothing */ } }

function theme(next = false) {
  const now = remembered("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const chosen = next ? now === "dark" ? "light" : "dark" : now;
  if (next) remember("theme", chosen);
  document.documentElement.dataset.theme = chosen;
}

function wrap(next = false) {
  const on = next ? $("wrap").getAttribute("aria-pressed") !== "true" : remembered("wrap") !== "no";
  if (next) remember("wrap", on ? "yes" : "no");
  $("wrap").setAttribute("aria-pressed", String(on));
  $("rows").classList.toggle("nowrap", !on);
}

function follow() {
  if (!isLive(state)) go({ since: span(state.since) ? state.since : "15m", until: "", at: "" });
  else if (!tail) load();
  else list.toEnd();
  status();
}

const frozen = () => ({ since: new Date(Date.now() - (span(state.since) ?? 900e3)).toISOString(), until: new Date().toISOString(), at: "" });
// The same view for somebody who looks at it later: "the last 15 minutes" become two points in time.
function fixed() {
  if (state.at) return state;
  const now = Date.now(), point = (text) => span(text) === null ? text : iso(now - span(text));
  return { ...state, since: point(state.since), until: state.until ? point(state.until) : iso(now + 1) };
}
const live = () => isLive(state) ? go(frozen()) : follow();
const narrow = (open) => { document.body.classList.toggle("menu", open); $("menu").setAttribute("aria-expanded", String(open)); };

$("ask").addEventListener("submit", (event) => { event.preventDefault(); refine({ q: $("q").value.trim() }); $("scroller").focus(); });
$("q").addEventListener("search", () => { if (!$("q").value && state.q) refine({ q: "" }); });
$("range").addEventListener("change", () => { ranged = $("range").value; if (ranged === "custom") { $("custom").hidden = false; $("since").focus(); } else go({ since: ranged, until: "", at: "" }); });
$("custom").addEventListener("submit", (event) => { event.preventDefault(); go({ since: $("since").value.trim() || "15m", until: $("until").value.trim() === "now" ? "" : $("until").value.trim(), at: "" }); });
$("live").addEventListener("click", live);
$("fresh").addEventListener("click", () => { list.toEnd(); status(); });
$("wrap").addEventListener("click", () => wrap(true));
for (const name of ["node", "container"]) $(`pick-${name}`).addEventListener("change", (event) => event.target.value && refine({ [name]: toggled(state[name], event.target.value) }));
$("share").addEventListener("click", () => copy(location.origin + shown(fixed()), "The link to this view is copied"));
$("theme").addEventListener("click", () => theme(true));
$("help").addEventListener("click", () => $("keys").showModal());
$("menu").addEventListener("click", () => narrow(!document.body.classList.contains("menu")));
document.querySelector("main").addEventListener("click", () => narrow(false));
for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => go({ view: button.dataset.view }));
addEventListener("popstate", () => { state = parsed(location.search); load(); });
listen({ list, follow, live, theme: () => theme(true), wrap: () => wrap(true), context: () => list.focused && context(list.focused), view: (number) => go({ view: VIEWS[number] }) });

theme();
wrap();
load();
learn();
setInterval(() => { if (!document.hidden) flow(); }, 2000);
setInterval(() => { if (!document.hidden) { if (about) overview(); else learn(); } }, 10000);
setInterval(() => { if (!document.hidden && isLive(state) && !busy.first) counted(loading.signal); }, 5000);
