// Who has lines here: containers by service by stack, what runs with its state and what it uses, what was removed too.
import { bytes, count, fill, h, hue, svg } from "./dom.js";
import { visible } from "./ansi.js";
import { ago, milliseconds } from "./times.js";

const MOST = 300;

export class Sidebar {
  // find: asks the server again, which knows more containers than are here.
  constructor(place, filter, choose, find) {
    Object.assign(this, { place, filter, choose, known: [], live: new Map(), total: 0, services: new Set(), signature: "" });
    let waiting = 0;
    filter.addEventListener("input", () => {
      this.draw();
      clearTimeout(waiting);
      waiting = setTimeout(find, 250);
    });
  }

  get wanted() { return this.filter.value.trim(); }

  set chosen(names) { this.services = new Set(names); this.draw(); }

  learn(known, total, groups, wanted) {
    this.learned = wanted;
    this.known = known;
    this.total = total;
    this.live = new Map(groups.map((group) => [group.key, group]));
    this.draw();
  }

  // Stack → service → {lines, last, containers}.
  grouped() {
    const wanted = this.wanted.toLowerCase(), stacks = new Map();
    const rows = [...this.known];
    const ids = new Set(rows.map((row) => row.id));
    for (const group of this.live.values()) {
      if (!ids.has(group.key)) rows.push({ id: group.key, name: group.name, service: group.service || group.name, stack: group.stack, lines: 0, last: "" });
    }
    for (const row of rows) {
      if (wanted && ![row.service, row.name, row.stack, row.node ?? ""].some((text) => text.toLowerCase().includes(wanted))) continue;
      const services = stacks.get(row.stack) ?? stacks.set(row.stack, new Map()).get(row.stack);
      const service = services.get(row.service) ?? services.set(row.service, { lines: 0, last: "", containers: [] }).get(row.service);
      service.lines += row.lines;
      if (row.last > service.last) service.last = row.last;
      service.containers.push(row);
    }
    return [...stacks].sort(([a], [b]) => (a === "") - (b === "") || a.localeCompare(b));
  }

  draw() {
    const stacks = this.grouped();
    const focused = document.activeElement?.dataset?.service;
    let room = MOST, left = 0;
    const nodes = stacks.map(([stack, services]) => {
      const sorted = [...services].sort(([a, one], [b, other]) => this.runs(other) - this.runs(one) || a.localeCompare(b));
      const shown = sorted.slice(0, Math.max(0, room));
      left += sorted.length - shown.length;
      room -= shown.length;
      return shown.length ? h("section", {}, stacks.length > 1 || stack ? h("h3", {}, stack ? visible(stack) : "without a stack") : null,
        h("ul", {}, shown.map(([name, service]) => this.item(name, service)))) : null;
    });
    const removed = this.total > this.known.length ? h("p", { class: "quiet" }, `The ${count(this.known.length)} that spoke last of ${count(this.total)} containers; type above to find the others.`) : null;
    fill(this.place, nodes, left ? h("p", { class: "quiet" }, `${count(left)} more services: type above to find them.`) : null, removed,
      stacks.length ? null : h("p", { class: "quiet" }, this.learned !== this.wanted ? "Loading…" : this.wanted ? "No container has such a name." : "No container has said anything yet."));
    if (focused) [...this.place.querySelectorAll("button")].find((node) => node.dataset.service === focused)?.focus();
  }

  runs(service) { return service.containers.filter((row) => this.live.get(row.id)?.state === "running").length; }

  item(name, service) {
    const running = this.runs(service), live = service.containers.map((row) => this.live.get(row.id)).filter(Boolean);
    const bad = live.some((group) => group.health === "unhealthy"), restarts = live.reduce((sum, group) => sum + (group.restarts || 0), 0);
    const state = bad ? "unhealthy" : running ? "running" : live.find((group) => group.state)?.state || (this.live.size ? "removed" : "");
    const cpu = summed(live, "cpu"), memory = summed(live, "memory"), last = memory.findLast((value) => value !== null);
    const about = [state, service.containers.length > 1 ? `${running}/${service.containers.length} containers` : null,
      restarts ? `${count(restarts)} restart${restarts > 1 ? "s" : ""}` : null,
      last ? bytes(last) : null, !running && service.last ? `${ago(milliseconds(service.last))} ago` : null].filter(Boolean).join(" · ");
    return h("li", {}, h("button", { type: "button", class: "service", "data-service": name, "aria-pressed": String(this.services.has(name)), onclick: () => this.choose(name) },
      h("span", { class: `dot s-${bad ? "bad" : state || "unknown"}`, "aria-hidden": "true" }),
      h("span", { class: `name hue${hue(name)}` }, visible(name)), spark(cpu),
      h("small", {}, about || `${count(service.lines)} lines`)));
  }
}

function summed(groups, name) {
  const series = groups.map((group) => group.series?.[name] ?? []);
  const length = Math.max(0, ...series.map((each) => each.length));
  return Array.from({ length }, (_, at) => {
    const values = series.map((each) => each[at]).filter((value) => value !== null && value !== undefined);
    return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
  });
}

function spark(values) {
  const known = values.slice(-40);
  if (known.filter((value) => value !== null).length < 2) return h("span", { class: "spark" });
  const most = Math.max(0.01, ...known.map((value) => value ?? 0));
  const points = known.map((value, at) => value === null ? null : `${(at * 60 / (known.length - 1)).toFixed(1)},${(15 - 14 * value / most).toFixed(1)}`).filter(Boolean);
  return svg("svg", { class: "spark", viewBox: "0 0 60 16", role: "img", "aria-label": `CPU, at most ${most.toFixed(2)} cores` }, svg("polyline", { points: points.join(" ") }));
}
