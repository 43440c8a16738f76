// Who has lines here: containers by service by stack, what runs with its state and what it uses, what was removed too.
import { bytes, count, h, hue, svg, update } from "./dom.js";
import { visible } from "./ansi.js";
import { ago, milliseconds } from "./times.js";

const MOST = 300, MOST_INNER = 50;

export class Sidebar {
  // find: asks the server again, which knows more containers than are here.
  constructor(place, filter, choose, find, chooseContainer) {
    Object.assign(this, { place, filter, choose, chooseContainer, known: [], live: new Map(), total: 0, services: new Set(), containers: new Set() });
    let waiting = 0;
    filter.addEventListener("input", () => {
      this.draw();
      clearTimeout(waiting);
      waiting = setTimeout(find, 250);
    });
  }

  get wanted() { return this.filter.value.trim(); }

  chosen(services, containers) { Object.assign(this, { services: new Set(services), containers: new Set(containers) }); this.draw(); }

  // many: these groups are not all there are.
  learn(known, total, groups, wanted, many = false) {
    this.learned = wanted;
    this.many = many;
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
    const focused = document.activeElement?.dataset?.key;
    let room = MOST, left = 0;
    const nodes = stacks.map(([stack, services]) => {
      const sorted = [...services].sort(([a, one], [b, other]) => this.runs(other) - this.runs(one) || a.localeCompare(b));
      const shown = sorted.slice(0, Math.max(0, room));
      left += sorted.length - shown.length;
      room -= shown.length;
      return shown.length ? h("section", {}, stacks.length > 1 || stack ? h("h2", {}, stack ? visible(stack) : "without a stack") : null,
        h("ul", {}, shown.map(([name, service]) => this.item(name, service)))) : null;
    });
    const removed = this.total > this.known.length ? h("p", { class: "quiet" }, `The ${count(this.known.length)} that spoke last of ${count(this.total)} containers; type above to find the others.`) : null;
    update(this.place, nodes, left ? h("p", { class: "quiet" }, `${count(left)} more services: type above to find them.`) : null, removed,
      stacks.length ? null : h("p", { class: "quiet" }, this.learned !== this.wanted ? "Loading…" : this.wanted ? "No container has such a name." : "No container has said anything yet."));
    if (focused && document.activeElement?.dataset?.key !== focused) [...this.place.querySelectorAll("button")].find((node) => node.dataset.key === focused)?.focus();
  }

  // What is not told of has gone, where all are told of.
  get absent() { return this.live.size && !this.many ? "removed" : ""; }

  runs(service) { return service.containers.filter((row) => this.live.get(row.id)?.state === "running").length; }

  item(name, service) {
    const running = this.runs(service), live = service.containers.map((row) => this.live.get(row.id)).filter(Boolean);
    const bad = live.filter((group) => group.health === "unhealthy" && group.state === "running").length;
    const restarts = live.reduce((sum, group) => sum + (group.restarts || 0), 0);
    const state = running ? "running" : live.find((group) => group.state)?.state || this.absent;
    const health = bad ? service.containers.length > 1 ? `${bad} unhealthy` : "unhealthy" : live.find((group) => group.health && group.state === "running")?.health;
    const cpu = summed(live, "cpu"), memory = summed(live, "memory"), last = memory.findLast((value) => value !== null);
    const there = live.length || service.containers.length;  // those of earlier deployments are gone, not missing
    const about = [state, health, there > 1 ? `${running}/${there} containers` : null,
      restarts ? `${count(restarts)} restart${restarts > 1 ? "s" : ""}` : null,
      last ? bytes(last) : null, !running && service.last ? `${ago(milliseconds(service.last))} ago` : null].filter(Boolean).join(" · ");
    return h("li", {}, h("button", { type: "button", class: "service", "data-key": name, "data-service": name, "aria-pressed": String(this.services.has(name)), onclick: () => this.choose(name) },
      h("span", { class: `dot s-${bad ? "bad" : state || "unknown"}`, "aria-hidden": "true" }),
      h("span", { class: `name hue${hue(name)}` }, visible(name)), spark("CPU", cpu, (most) => `${most.toFixed(3)} cores`),
      h("small", {}, about || `${count(service.lines)} lines`), spark("Memory", memory, bytes)),
      this.services.has(name) && service.containers.length > 1 ? this.inner(service.containers) : null);
  }

  // The containers of a service that is looked at.
  inner(containers) {
    const order = (row) => this.live.get(row.id)?.state === "running" ? 0 : 1;
    const sorted = [...containers].sort((a, b) => order(a) - order(b) || (a.last < b.last ? 1 : -1)).slice(0, MOST_INNER);
    return h("ul", { class: "inner", "aria-label": "Containers" }, sorted.map((row) => {
      const live = this.live.get(row.id), state = live?.state || this.absent, bad = live?.health === "unhealthy" && state === "running";
      const said = [bad ? "unhealthy" : state === "running" ? "" : state, live?.restarts ? `↻ ${count(live.restarts)}` : ""].filter(Boolean).join(" ");
      return h("li", {}, h("button", { type: "button", class: "container", "data-key": row.id, "data-container": row.id, "aria-pressed": String(this.containers.has(row.id)), title: visible(row.node ? `${row.name} on ${row.node}` : row.name), onclick: () => this.chooseContainer(row.id) },
        h("span", { class: `dot s-${bad ? "bad" : state || "unknown"}`, "aria-hidden": "true" }), h("span", { class: "name" }, visible(row.name)), h("small", {}, said)));
    }));
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

function spark(title, values, say) {
  const known = values.slice(-40), kind = `spark ${title.toLowerCase()}`;
  if (known.filter((value) => value !== null).length < 2) return h("span", { class: kind });
  const most = Math.max(0.01, ...known.map((value) => value ?? 0));
  const points = known.map((value, at) => value === null ? null : `${(at * 60 / (known.length - 1)).toFixed(1)},${(15 - 14 * value / most).toFixed(1)}`).filter(Boolean);
  return svg("svg", { class: kind, viewBox: "0 0 60 16", role: "img", "aria-label": `${title}, at most ${say(most)}` }, svg("polyline", { points: points.join(" ") }));
}
