// Lines over time, stacked by level; a range is chosen by drawing over it.
import { count, fill, h, svg } from "./dom.js";
import { markers, within } from "./happened.js";
import { LEVELS } from "./levels.js";
import { iso, tick } from "./times.js";

const HEIGHT = 56;
const ORDER = ["none", "debug", "info", "warn", "error"];

export class Histogram {
  constructor(place, { choose, hover }) {
    Object.assign(this, { place, choose, hover, data: null, from: null });
    this.picture = svg("svg", { preserveAspectRatio: "none", role: "img", "aria-label": "Not counted yet" });
    this.selection = h("div", { class: "brush" });
    this.line = h("div", { class: "moment", hidden: true });
    this.told = h("output", { class: "told" });
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.over = h("div", {});
    this.frame = h("div", { class: "frame" }, this.picture, this.over, this.selection, this.line);
    fill(place, this.frame, this.axis, this.told);
    this.frame.addEventListener("pointerdown", (event) => this.press(event));
    this.frame.addEventListener("pointermove", (event) => this.moved(event));
    this.frame.addEventListener("pointerup", (event) => this.release(event));
    this.frame.addEventListener("pointercancel", () => this.drop());
    this.frame.addEventListener("pointerleave", () => this.hover(null));
  }

  show(data) {
    this.data = data;
    const { since, until, step, buckets, levels } = data;
    const first = since - since % step, places = Math.max(1, Math.ceil((until - first) / step));
    const totals = buckets.map((row) => row.slice(1).reduce((sum, value) => sum + value, 0));
    const most = Math.max(1, ...totals), whole = totals.reduce((sum, value) => sum + value, 0);
    this.picture.setAttribute("viewBox", `0 0 ${places} ${HEIGHT}`);
    this.picture.setAttribute("aria-label", `${count(whole)} lines from ${new Date(since).toLocaleString()} until ${new Date(until).toLocaleString()}`);
    fill(this.picture, buckets.flatMap((row) => {
      let top = HEIGHT;
      return ORDER.map((level) => {
        const lines = row[1 + levels.indexOf(level)];
        if (!lines) return null;
        const tall = Math.max(0.8, lines / most * (HEIGHT - 2));
        top -= tall;
        return svg("rect", { class: `b-${level}`, x: (row[0] - first) / step + 0.08, y: top, width: 0.84, height: tall });
      });
    }));
    fill(this.axis, [0, 1, 2, 3, 4].map((part) => h("span", {}, tick(since + (until - since) * part / 4, until - since))));
    this.whole = `${count(whole)} lines${data.complete ? "" : " (the newest; counting all would take too long)"}`;
    this.told.textContent = this.whole;
  }

  // Marks what happened to containers meanwhile.
  happened(list) {
    const { since, until } = this.data ?? {};
    fill(this.over, list.length && this.data ? markers(within(list, since, until), since, until) : null);
  }

  at(event) {
    const box = this.frame.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  }

  moment(part) { return this.data.since + (this.data.until - this.data.since) * part; }

  press(event) {
    if (!this.data || event.button) return;
    this.from = this.at(event);
    this.frame.setPointerCapture(event.pointerId);
  }

  moved(event) {
    if (!this.data) return;
    const here = this.at(event);
    this.hover(this.moment(here));
    if (this.from === null) return;
    const [low, high] = [this.from, here].sort((a, b) => a - b);
    this.selection.style.left = `${low * 100}%`;
    this.selection.style.width = `${(high - low) * 100}%`;
  }

  release(event) {
    if (this.from === null) return;
    const [low, high] = [this.from, this.at(event)].sort((a, b) => a - b);
    this.drop();
    if (high - low < 0.004) return;
    this.choose(iso(this.moment(low)), iso(this.moment(high)));
  }

  drop() {
    this.from = null;
    this.selection.style.width = "0";
  }

  // Marks a moment, told below with what is in its bucket; null for none.
  mark(moment) {
    const { data } = this;
    const within = data && moment !== null && moment >= data.since && moment <= data.until;
    this.line.hidden = !within;
    if (!data) return;
    if (!within) { this.told.textContent = this.whole; return; }
    this.line.style.left = `${(moment - data.since) / (data.until - data.since) * 100}%`;
    const row = data.buckets.find(([begin]) => moment >= begin && moment < begin + data.step);
    const parts = row ? LEVELS.map((level) => [level, row[1 + data.levels.indexOf(level)]]).filter(([, lines]) => lines) : [];
    this.told.textContent = `${tick(moment, 0)}: ${parts.map(([level, lines]) => `${count(lines)} ${level === "none" ? "other" : level}`).join(", ") || "no lines"}`;
  }
}
