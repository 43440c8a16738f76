// What the chosen services, or the node, used over the same stretch of time; marks where containers changed state.
import { bytes, fill, h, svg } from "./dom.js";
import { plain } from "./ansi.js";

const CHARTS = [
  ["CPU", [["cpu", "cores"]], (value) => `${value.toFixed(value < 1 ? 2 : 1)} cores`],
  ["Memory", [["memory", "used"]], bytes],
  ["Network", [["receive", "in"], ["transmit", "out"]], (value) => `${bytes(value)}/s`],
  ["Disk", [["read", "read"], ["write", "written"]], (value) => `${bytes(value)}/s`],
];
const TALL = 70, WIDE = 300;

export class Metrics {
  constructor(place, hover) {
    Object.assign(this, { place, hover, charts: [], since: 0, until: 1 });
    place.addEventListener("pointermove", (event) => {
      const frame = event.target.closest(".frame");
      if (!frame) return;
      const box = frame.getBoundingClientRect();
      hover(this.since + (this.until - this.since) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    });
    place.addEventListener("pointerleave", () => hover(null));
  }

  say(text) { this.charts = []; fill(this.place, h("p", { class: "quiet" }, text)); }

  show(answer, since, until) {
    Object.assign(this, { since, until, times: answer.times.map((time) => time * 1000) });
    const groups = answer.groups;
    if (!groups.length || !this.times.length) return this.say("Nothing was measured in this stretch: metrics go back an hour, to the start of towline up.");
    const changes = groups.flatMap((group) => group.changes).filter((change) => change.time * 1000 >= since && change.time * 1000 <= until);
    this.charts = CHARTS.map(([title, series, say]) => this.chart(title, series, say, groups, changes));
    fill(this.place, this.charts.map((chart) => chart.node),
      changes.length ? h("ul", { class: "changes", "aria-label": "Changes of state" }, changes.slice(-8).reverse().map((change) =>
        h("li", {}, h("time", {}, new Date(change.time * 1000).toLocaleTimeString()), ` ${plain(change.container)} ${plain(change.state)}`))) : null);
  }

  chart(title, series, say, groups, changes) {
    const x = (time) => (time - this.since) / (this.until - this.since) * WIDE;
    const rows = series.map(([name]) => this.times.map((_, at) => {
      const values = groups.map((group) => group.series[name][at]).filter((value) => value !== null && value !== undefined);
      return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
    }));
    const most = Math.max(...rows.flat().map((value) => value ?? 0)) || 1;
    const lines = rows.map((row, number) => svg("path", { class: `m${number}`, d: path(row, this.times, x, most) }));
    const marks = changes.map((change) => svg("line", { class: `change c-${/^(running|exited|dead|oom|restarting)$/.exec(change.state)?.[0] ?? "other"}`, x1: x(change.time * 1000), x2: x(change.time * 1000), y1: 0, y2: TALL }));
    const moment = h("div", { class: "moment", hidden: true }), told = h("output", { class: "told" });
    const latest = rows.map((row) => row.findLast((value) => value !== null));
    const words = (values) => values.map((value, at) => value === null || value === undefined ? null : `${series.length > 1 ? `${series[at][1]} ` : ""}${say(value)}`).filter(Boolean).join(", ") || "–";
    told.textContent = words(latest);
    const node = h("figure", {}, h("figcaption", {}, title, told), h("div", { class: "frame" },
      svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: now ${words(latest)}, at most ${say(most)}` }, marks, lines), moment));
    return { node, rows, told, words, latest, moment };
  }

  mark(moment) {
    const within = moment !== null && moment >= this.since && moment <= this.until;
    let near = -1;
    if (within) this.times.forEach((time, at) => { if (near < 0 || Math.abs(time - moment) < Math.abs(this.times[near] - moment)) near = at; });
    for (const chart of this.charts) {
      chart.moment.hidden = !within;
      if (within) chart.moment.style.left = `${(moment - this.since) / (this.until - this.since) * 100}%`;
      chart.told.textContent = chart.words(within && near >= 0 ? chart.rows.map((row) => row[near]) : chart.latest);
    }
  }
}

function path(row, times, x, most) {
  let drawn = "", pen = false;
  row.forEach((value, at) => {
    if (value === null) { pen = false; return; }
    drawn += `${pen ? "L" : "M"}${x(times[at]).toFixed(1)} ${(TALL - 1 - value / most * (TALL - 4)).toFixed(1)}`;
    pen = true;
  });
  return drawn;
}
