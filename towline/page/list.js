// The lines: all that were loaded in memory, a few hundred of them as elements, sliding with the scroll position.
import { count } from "./dom.js";
import { detail, prepared, row } from "./row.js";
import { day, milliseconds } from "./times.js";

const MOST_ROWS = 400, STEP = 120, MOST_LINES = 30000, NEAR = 600;

const compare = (one, other) => {
  const a = one["@timestamp"], b = other["@timestamp"];
  if (a !== b) return a < b ? -1 : 1;
  const c = one.container?.id ?? "", d = other.container?.id ?? "";
  if (c !== d) return c < d ? -1 : 1;
  const e = one.event?.id ?? "", f = other.event?.id ?? ""; // of a domain event, which has no place in a log
  return (one.event?.sequence ?? 0) - (other.event?.sequence ?? 0) || (e < f ? -1 : Number(e > f));
};

export class List {
  // actions: row's, and older(), newer(), follow(on), pending(number)
  constructor(scroller, rows, actions) {
    Object.assign(this, { scroller, rows, actions, marks: [] });
    this.own = { ...actions, toggle: (node) => this.toggle(node) };
    this.clear();
    this.top = 0;
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    rows.addEventListener("pointerover", (event) => {
      const line = event.target.closest(".row")?.$line;
      if (line) actions.hover(milliseconds(line["@timestamp"]));
    });
    rows.addEventListener("pointerleave", () => actions.hover(null));
    new ResizeObserver(() => { if (this.following) scroller.scrollTop = scroller.scrollHeight; }).observe(scroller);
  }

  clear() {
    this.lines = [];
    this.start = this.end = this.pending = 0;
    this.following = true;
    this.rows.replaceChildren();
    this.actions.pending(0);
  }

  get atEnd() { return this.end === this.lines.length; }

  // Puts lines in their places; returns how many were new.
  add(lines) {
    const follow = this.following && this.atEnd;
    let fresh = 0, tail = [];
    for (const line of [...lines].sort(compare)) {
      const place = this.place(line);
      if (place < 0) continue;
      fresh++;
      prepared(line);
      if (place === this.lines.length) { this.lines.push(line); tail.push(line); continue; }
      this.lines.splice(place, 0, line);
      if (place <= this.start) { this.start++; this.end++; }
      else if (place < this.end) { this.end++; this.insert(line, place - this.start); }
    }
    if (follow) this.showEnd(tail);
    else if (tail.length) {
      if (this.end === 0) this.window(0, Math.min(this.lines.length, MOST_ROWS));
      this.pending += tail.length;
      this.actions.pending(this.pending);
    }
    this.bound();
    const few = this.end - this.start + STEP <= MOST_ROWS;
    if (fresh && this.start > 0 && few && this.scroller.scrollTop < NEAR) this.up();
    if (this.following && this.atEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
    return fresh;
  }

  // Where a line belongs, -1 where it is there already.
  place(line) {
    let low = 0, high = this.lines.length;
    if (high && compare(line, this.lines[high - 1]) > 0) return high;
    while (low < high) {
      const middle = (low + high) >> 1, order = compare(this.lines[middle], line);
      if (order === 0) return -1;
      if (order < 0) low = middle + 1; else high = middle;
    }
    return low;
  }

  make(line) { return row(line, this, this.own); }

  insert(line, at) { this.rows.insertBefore(this.make(line), this.rows.children[at] ?? null); }

  showEnd(tail) {
    const shown = tail.slice(-MOST_ROWS);
    if (shown.length < tail.length) this.rows.replaceChildren();
    this.rows.append(...shown.map((line) => this.make(line)));
    this.end = this.lines.length;
    while (this.rows.children.length > MOST_ROWS) this.rows.firstChild.remove();
    this.start = this.end - this.rows.children.length;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.headings();
  }

  // Shows the lines from `start` to `end`, and nothing else.
  window(start, end) {
    this.start = start;
    this.end = end;
    this.rows.replaceChildren(...this.lines.slice(start, end).map((line) => this.make(line)));
    this.headings();
  }

  // No more lines in memory than a tab can bear: those farthest from what is shown go.
  bound() {
    const over = this.lines.length - MOST_LINES;
    if (over <= 0) return;
    const front = Math.min(over, this.start);
    this.lines.splice(0, front);
    this.start -= front;
    this.end -= front;
    if (over > front) {
      this.lines.length = Math.max(this.end, MOST_LINES);
      this.actions.cut();
    }
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    // Only scrolling up pauses: what is below grows by itself when lines come or the page is rearranged.
    const bottom = below < 24 && this.atEnd, up = scrollTop < this.top - 1;
    this.top = scrollTop;
    if (bottom !== this.following && (bottom || up)) {
      this.following = bottom;
      if (bottom) { this.pending = 0; this.actions.pending(0); }
      this.actions.follow(bottom);
    }
    if (scrollTop < NEAR) this.up();
    if (below < NEAR) this.down();
  }

  up() {
    if (this.start === 0) return this.actions.older();
    const from = Math.max(0, this.start - STEP), before = this.scroller.scrollHeight, top = this.scroller.scrollTop;
    this.rows.prepend(...this.lines.slice(from, this.start).map((line) => this.make(line)));
    this.start = from;
    this.scroller.scrollTop = top + this.scroller.scrollHeight - before;
    while (this.rows.children.length > MOST_ROWS) { this.rows.lastChild.remove(); this.end--; }
    this.headings();
  }

  down() {
    if (this.atEnd) return this.actions.newer();
    const to = Math.min(this.lines.length, this.end + STEP);
    this.rows.append(...this.lines.slice(this.end, to).map((line) => this.make(line)));
    this.end = to;
    const extra = this.rows.children.length - MOST_ROWS;
    if (extra > 0) {
      const before = this.scroller.scrollHeight, top = this.scroller.scrollTop;
      for (let at = 0; at < extra; at++) this.rows.firstChild.remove();
      this.start += extra;
      this.scroller.scrollTop = top - (before - this.scroller.scrollHeight);
    }
    this.headings();
  }

  // A line above the first row of each day.
  headings() {
    let last = "";
    for (const node of this.rows.children) {
      if (!node.$line) continue;
      const today = day(node.$line["@timestamp"]);
      if (today !== last) node.dataset.day = today; else delete node.dataset.day;
      last = today;
    }
  }

  toEnd() {
    this.window(Math.max(0, this.lines.length - MOST_ROWS), this.lines.length);
    this.following = true;
    this.pending = 0;
    this.actions.pending(0);
    this.actions.follow(true);
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // Rows around a line, which is marked and in the middle; false where it is not loaded.
  reveal(id, sequence) {
    const at = this.lines.findIndex((line) => line.container?.id === id && line.event?.sequence === sequence);
    if (at < 0) return false;
    this.following = false;
    this.window(Math.max(0, at - MOST_ROWS / 2), Math.min(this.lines.length, at + MOST_ROWS / 2));
    const node = this.rows.children[at - this.start];
    node.classList.add("hit");
    node.scrollIntoView({ block: "center" });
    node.focus({ preventScroll: true });
    return true;
  }

  toggle(node) {
    const open = node.querySelector(".detail");
    if (open) open.remove(); else node.append(detail(node.$line, this.own));
    node.classList.toggle("open", !open);
  }

  // Moves the focus by rows; from outside to the last row that is seen.
  move(by) {
    const rows = [...this.rows.children], here = rows.indexOf(document.activeElement?.closest?.(".row"));
    const bottom = this.scroller.getBoundingClientRect().bottom;
    const seen = rows.findLastIndex((node) => node.getBoundingClientRect().top < bottom - 10);
    const next = rows[here < 0 ? seen : Math.min(rows.length - 1, Math.max(0, here + by))];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
    return next;
  }

  // Marks the first line from a moment on, where it is among the rows; null for none.
  mark(moment) {
    this.rows.querySelector(".near")?.classList.remove("near");
    const { children } = this.rows, time = (node) => milliseconds(node.$line["@timestamp"]);
    if (moment === null || !children.length || time(children[0]) > moment || time(this.rows.lastChild) < moment) return;
    let low = 0, high = children.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (time(children[middle]) < moment) low = middle + 1; else high = middle;
    }
    children[low].classList.add("near");
  }

  get focused() { return document.activeElement?.closest?.(".row")?.$line; }

  get size() { return count(this.lines.length); }
}
