// What the chosen services, or the node, used over the same stretch of time, with marks for what happened meanwhile.
import { bytes, count, fill, h, svg, update } from "./dom.js";
import { happening, markers, within } from "./happened.js";

const CHARTS = [
  ["CPU", [["cpu", "cores"]], (value) => `${value.toFixed(value < 0.1 ? 3 : value < 1 ? 2 : 1)} cores`],
  ["Memory", [["memory", "used"]], bytes],
  ["Network", [["receive", "in"], ["transmit", "out"]], (value) => `${bytes(value)}/s`],
  ["Disk", [["read", "read"], ["write", "written"]], (value) => `${bytes(value)}/s`],
];
const TALL = 70, WIDE = 300, MOST_TOLD = 50;

export class Metrics {
  // hover(moment), around(moment): shows the lines of that time.
  constructor(place, { hover, around }) {
    Object.assign(this, { place, hover, around, charts: [], since: 0, until: 1, moment: null });
    this.top = h("div", { class: "charts" });
    this.told = h("ul", { class: "changes", "aria-label": "What happened" });
    fill(place, this.top, this.told);
    place.addEventListener("pointermove", (event) => {
      const frame = event.target.closest(".frame");
      if (!frame) return;
      const box = frame.getBoundingClientRect();
      hover(this.since + (this.until - this.since) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    });
    place.addEventListener("pointerleave", () => hover(null));
  }

  say(text) { this.charts = []; fill(this.top, h("p", { class: "quiet" }, text)); fill(this.told); }

  // `of`: whose numbers these are.
  show(answer, since, until, of) {
    Object.assign(this, { since, until, times: answer.times.map((time) => time * 1000) });
    const groups = answer.groups, happened = within(answer.happened, since, until);
    const measured = groups.length && this.times.length;
    this.charts = measured ? CHARTS.map(([title, series, say]) => this.chart(title, series, say, groups, happened)) : [];
    fill(this.top, h("h2", {}, of),
      measured ? this.charts.map((chart) => chart.node) : h("p", { class: "quiet" }, answer.why ?? "Nothing was measured in this stretch: metrics go back an hour, to the start of towline up."),
      happened.length ? h("h3", {}, `${count(happened.length)} ${happened.length > 1 ? "changes" : "change"}`) : null);
    update(this.told, happened.slice(-MOST_TOLD).reverse().map((each) => happening(each, this.around)));
    this.mark(this.moment);
  }

  chart(title, series, say, groups, happened) {
    const x = (time) => (time - this.since) / (this.until - this.since) * WIDE;
    const rows = series.map(([name]) => this.times.map((_, at) => {
      const values = groups.map((group) => group.series[name][at]).filter((value) => value !== null && value !== undefined);
      return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
    }));
    const most = Math.max(...rows.flat().map((value) => value ?? 0)) || 1;
    const lines = rows.map((row, number) => svg("path", { class: `m${number}`, d: path(row, this.times, x, most) }));
    const moment = h("div", { class: "moment", hidden: true }), told = h("output", { class: "told" });
    const latest = rows.map((row) => row.findLast((value) => value !== null));
    const words = (values) => values.map((value, at) => value === null || value === undefined ? null : `${series.length > 1 ? `${series[at][1]} ` : ""}${say(value)}`).filter(Boolean).join(", ") || "–";
    told.textContent = words(latest);
    const node = h("figure", {}, h("figcaption", {}, title, told), h("div", { class: "frame" },
      svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: now ${words(latest)}, at most ${say(most)}` }, lines), h("span", { class: "most", "aria-hidden": "true" }, latest.some((value) => value !== undefined) ? say(most) : ""), markers(happened, this.since, this.until), moment));
    return { node, rows, told, words, latest, moment };
  }

  mark(moment) {
    this.moment = moment;
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
