// The ledger as a flow: what was read, where every line of it is now, and what waits between.
import { bytes, count, fill, h, hue } from "./dom.js";
import { visible } from "./ansi.js";

const sum = (services, name) => Object.values(services).reduce((total, row) => total + (row[name] || 0), 0);
const all = (row) => Object.values(row || {}).reduce((total, value) => total + value, 0);

export class Pipeline {
  constructor(place) { Object.assign(this, { place, before: null }); }

  say(text) { fill(this.place, h("p", { class: "quiet" }, text)); }

  show(now) {
    const { services } = now, rates = this.rates(now);
    const totals = Object.fromEntries(["read", "confirmed", "indexed", "duplicate", "dead_lettered", "in_flight"].map((name) => [name, sum(services, name)]));
    const lost = Object.values(services).reduce((total, row) => total + all(row.dropped), 0);
    const problems = Object.entries(now.problems);
    fill(this.place,
      problems.length ? h("div", { class: "problems", role: "alert" }, h("ul", {}, problems.map(([name, text]) => h("li", {}, h("b", {}, visible(name)), `: ${visible(text)}`))))
        : h("p", { class: "fine" }, now.processes ? `All parts of ${count(now.processes)} processes work.` : "All parts work."),
      this.flow(now, totals, rates, lost),
      h("ul", { class: "side", "aria-label": "Beside the flow" },
        side("On its way", Math.max(0, totals.read - totals.indexed - totals.dead_lettered - lost), "read, not yet in the store"),
        side("Repeats", totals.duplicate, "read again after a fault, recognised by the store"),
        side("Gaps", all(now.gaps), Object.entries(now.gaps).map(([reason, times]) => `${count(times)} ${visible(reason)}`).join(", ") || "stretches gone before they could be read", all(now.gaps) ? "bad" : "")),
      this.table(services));
    this.before = now;
  }

  // In one process the queue is memory, and a line is confirmed when it is stored: it waits before that, not after.
  flow(now, totals, rates, lost) {
    const broker = now.queue_messages !== null && now.queue_messages !== undefined;
    const held = bytes(now.queue_bytes ?? 0), messages = now.queue_messages;
    const queue = wait("Queue", broker ? `${count(messages)} message${messages === 1 ? "" : "s"}` : held, broker ? `in the broker; ${held} in work` : "in memory", broker ? messages > 0 : now.queue_bytes > 0);
    return h("ol", { class: "flow", "aria-label": "Flow of lines" },
      step("read", "Read", totals.read, rates.read, `from ${count(all(now.containers))} open logs`),
      edge("one", rates.confirmed, [wait("In flight", count(totals.in_flight), bytes(now.in_flight_bytes ?? 0), totals.in_flight > 0),
        wait("Spool", bytes(now.spool_bytes ?? 0), "on disk", now.spool_bytes > 0), broker ? null : queue]),
      step("confirmed", "Confirmed", totals.confirmed, rates.confirmed, broker ? "safe in the broker" : "safe in the store"),
      edge("two", rates.indexed, [broker ? queue : null, wait("Lag", this.lag(now), "from written to searchable")]),
      step("indexed", "Indexed", totals.indexed, rates.indexed, "can be searched", "good"),
      step("dropped branch", "Dropped", lost, null, "left out, with a reason", lost ? "bad" : ""),
      step("dead branch", "Dead letters", totals.dead_lettered, null, "refused by the store, kept", totals.dead_lettered ? "bad" : ""));
  }

  rates(now) {
    const seconds = this.before ? now.time - this.before.time : 0;
    return Object.fromEntries(["read", "confirmed", "indexed"].map((name) => [name, seconds > 0 ? Math.max(0, (sum(now.services, name) - sum(this.before.services, name)) / seconds) : null]));
  }

  lag(now) {
    const lines = (now.lag_count ?? 0) - (this.before?.lag_count ?? 0), seconds = (now.lag_sum ?? 0) - (this.before?.lag_sum ?? 0);
    const mean = lines > 0 && seconds >= 0 ? seconds / lines : now.lag_count ? now.lag_sum / now.lag_count : null;
    return mean === null ? "–" : mean < 1 ? `${Math.round(mean * 1000)} ms` : `${mean.toFixed(1)} s`;
  }

  table(services) {
    const names = Object.keys(services).sort((a, b) => (services[b].read || 0) - (services[a].read || 0)).slice(0, 200);
    if (!names.length) return h("p", { class: "quiet" }, "No line was read yet.");
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The ledger by service" }, h("table", {},
      h("caption", {}, "The ledger since the start of what counts it: read = indexed + dead letters + dropped + on its way"),
      h("thead", {}, h("tr", {}, ["Service", "Read", "Confirmed", "Indexed", "Repeats", "Dead letters", "Dropped", "In flight"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, names.map((name) => {
        const row = services[name];
        return h("tr", {}, h("th", { scope: "row", class: `hue${hue(name)}` }, visible(name)),
          [row.read, row.confirmed, row.indexed, row.duplicate, row.dead_lettered, all(row.dropped), row.in_flight].map((value) => h("td", {}, count(value || 0))));
      }))));
  }
}

const step = (name, title, lines, rate, about, mood = "") => h("li", { class: `step ${name} ${mood}` }, h("span", { class: "title" }, title), h("b", {}, count(lines)),
  rate === null ? null : h("span", { class: "rate" }, `${count(rate)} lines/s`), h("small", {}, about));
const edge = (name, rate, waits) => h("li", { class: `edge ${name} ${rate ? "moving" : ""}` }, h("dl", {}, waits.filter(Boolean)));
const wait = (title, value, about, on) => h("div", { class: on ? "wait" : "" }, h("dt", {}, title), h("dd", {}, h("b", {}, value), h("small", {}, ` ${about}`)));
const side = (title, value, about, mood = "") => h("li", { class: mood }, h("span", { class: "title" }, title), h("b", {}, count(value)), h("small", {}, about));
