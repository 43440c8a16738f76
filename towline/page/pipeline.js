// The ledger as a flow: what was read, and where every line of it is now.
import { bytes, count, fill, h, hue } from "./dom.js";
import { visible } from "./ansi.js";

const sum = (services, name) => Object.values(services).reduce((total, row) => total + (row[name] || 0), 0);
const dropped = (row) => Object.values(row.dropped || {}).reduce((total, lines) => total + lines, 0);

export class Pipeline {
  constructor(place) { Object.assign(this, { place, before: null }); }

  say(text) { fill(this.place, h("p", { class: "quiet" }, text)); }

  show(now) {
    const { services } = now, rates = this.rates(now);
    const totals = Object.fromEntries(["read", "published", "confirmed", "indexed", "duplicate", "dead_lettered", "in_flight"].map((name) => [name, sum(services, name)]));
    const lost = Object.values(services).reduce((total, row) => total + dropped(row), 0);
    const balance = totals.read - totals.indexed - totals.dead_lettered - lost;
    const problems = Object.entries(now.problems);
    fill(this.place,
      problems.length ? h("div", { class: "problems", role: "alert" }, h("ul", {}, problems.map(([name, text]) => h("li", {}, h("b", {}, name), `: ${visible(text)}`))))
        : h("p", { class: "fine" }, "All parts work."),
      h("ol", { class: "flow", "aria-label": "Flow of lines" },
        step("Read", totals.read, rates.read, `from ${count(Object.values(now.containers).reduce((a, b) => a + b, 0))} open logs`),
        step("Confirmed", totals.confirmed, rates.confirmed, `${count(totals.in_flight)} in flight, ${bytes(now.in_flight_bytes ?? 0)}`, totals.in_flight ? "wait" : ""),
        step("Indexed", totals.indexed, rates.indexed, `${count(totals.duplicate)} were there already`, "good")),
      h("ul", { class: "flow side", "aria-label": "Beside the flow" },
        side("On its way", Math.max(0, balance), "read, not yet in the store"),
        side("Spool", bytes(now.spool_bytes ?? 0), "on disk while the queue is away", now.spool_bytes ? "wait" : ""),
        side("Lag", this.lag(now), "from written to searchable, mean"),
        side("Dead letters", totals.dead_lettered, "refused by the store, kept", totals.dead_lettered ? "bad" : ""),
        side("Dropped", lost, "left out on purpose", lost ? "wait" : ""),
        side("Gaps", Object.values(now.gaps).reduce((a, b) => a + b, 0), Object.entries(now.gaps).map(([reason, times]) => `${times} ${reason}`).join(", ") || "gone before they could be read", Object.keys(now.gaps).length ? "bad" : "")),
      this.table(services));
    this.before = now;
  }

  rates(now) {
    const seconds = this.before ? now.time - this.before.time : 0;
    return Object.fromEntries(["read", "confirmed", "indexed"].map((name) => [name, seconds > 0 ? (sum(now.services, name) - sum(this.before.services, name)) / seconds : null]));
  }

  lag(now) {
    const lines = now.lag_count - (this.before?.lag_count ?? 0), seconds = now.lag_sum - (this.before?.lag_sum ?? 0);
    const mean = lines > 0 ? seconds / lines : now.lag_count ? now.lag_sum / now.lag_count : null;
    return mean === null ? "–" : mean < 1 ? `${Math.round(mean * 1000)} ms` : `${mean.toFixed(1)} s`;
  }

  table(services) {
    const names = Object.keys(services).sort((a, b) => (services[b].read || 0) - (services[a].read || 0)).slice(0, 200);
    if (!names.length) return h("p", { class: "quiet" }, "No line was read yet.");
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The ledger by service" }, h("table", {},
      h("caption", {}, "The ledger since this process started: read = indexed + dead letters + dropped + on its way"),
      h("thead", {}, h("tr", {}, ["Service", "Read", "Confirmed", "Indexed", "Repeats", "Dead letters", "Dropped", "In flight"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, names.map((name) => {
        const row = services[name];
        return h("tr", {}, h("th", { scope: "row", class: `hue${hue(name)}` }, visible(name)),
          [row.read, row.confirmed, row.indexed, row.duplicate, row.dead_lettered, dropped(row), row.in_flight].map((value) => h("td", {}, count(value || 0))));
      }))));
  }
}

const step = (title, lines, rate, about, mood = "") => h("li", { class: mood }, h("span", { class: "title" }, title), h("b", {}, count(lines)),
  h("span", { class: "rate" }, rate === null ? " " : `${count(rate)} lines/s`), h("small", {}, about));
const side = (title, value, about, mood = "") => h("li", { class: mood }, h("span", { class: "title" }, title), h("b", {}, typeof value === "number" ? count(value) : value), h("small", {}, about));
