// One line, folded (one row) and unfolded (its fields as a tree, and what can be done with it).
import { painted, plain, visible } from "./ansi.js";
import { count, h, hue } from "./dom.js";
import { fieldsOf, levelOf, pairsOf } from "./levels.js";
import { clock, day } from "./times.js";

const MOST_SHOWN = 2000;

export const serviceOf = (line) => line.service?.name || line.container?.name || "?";

export function prepared(line) {
  line.$fields = fieldsOf(line.message);
  line.$level = levelOf(line.message, line.$fields, line.log?.level);
  return line;
}

export function row(line, state, actions) {
  const service = serviceOf(line), level = line.$level;
  const node = h("div", { class: `row l-${level}${line.stream === "stderr" ? " stderr" : ""}`, role: "listitem", tabindex: "-1" },
    h("time", { datetime: line["@timestamp"], title: `${day(line["@timestamp"])} ${line["@timestamp"]}` }, clock(line["@timestamp"])),
    h("span", { class: `who hue${hue(service)}`, title: visible(`${line.container?.name ?? ""} on ${line.host?.name ?? "?"}`) }, visible(service)),
    h("span", { class: "sev", title: level === "none" ? null : level }, level === "none" ? "" : level),
    h("span", { class: "text" }, ...summary(line, state.marks)));
  node.$line = line;
  node.addEventListener("click", (event) => {
    if (!event.target.closest(".detail") && !String(getSelection())) actions.toggle(node);
  });
  return node;
}

function summary(line, marks) {
  if (line.event?.kind === "gap" || line.event?.action === "gap") return [h("em", {}, plain(line.message))];
  if (line.$fields) return folded(line.$fields, marks);
  const cut = line.message.length > MOST_SHOWN;
  return [...painted(cut ? line.message.slice(0, MOST_SHOWN) : line.message, marks), ...more(line, cut)];
}

const more = (line, cut) => cut || line.clipped ? [h("span", { class: "more" }, ` … ${count(line.clipped ?? line.message.length)} characters`)] : [];

const HIDDEN = new Set(["time", "ts", "timestamp", "@timestamp", "level", "severity", "lvl", "msg", "message"]);
function folded(fields, marks) {
  const nodes = [], text = fields.msg ?? fields.message;
  if (text !== undefined) nodes.push(...painted(String(text).slice(0, MOST_SHOWN), marks));
  for (const [name, value] of Object.entries(fields).slice(0, 16)) {
    if (HIDDEN.has(name)) continue;
    const said = typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
    const found = marks.includes(`${words(name).join(" ")} ${words(said).join(" ")}`) ? [said.toLowerCase()] : marks;
    nodes.push(" ", h("span", { class: "key" }, `${visible(name.slice(0, 60))}=`), h("span", { class: "value" }, ...painted(said.slice(0, 200), found)));
  }
  return nodes.length ? nodes : ["{}"];
}

// What an unfolded line shows below itself.
export function detail(line, actions) {
  const { $fields, $level, message, clipped, ...rest } = line;
  const own = $fields ?? pairsOf(message), id = line.container?.id, sequence = line.event?.sequence;
  const whole = new URLSearchParams({ container: id ?? "", q: id ? `event.sequence:${sequence}` : `event.id:"${line.event?.id}"`, format: "text" });
  return h("div", { class: "detail" },
    h("div", { class: "do" },
      id ? h("button", { type: "button", onclick: () => actions.context(line) }, "Lines around it") : null,
      id ? h("button", { type: "button", onclick: () => actions.link(line) }, "Copy link") : null,
      h("button", { type: "button", onclick: () => actions.copy(message, "The line is copied") }, "Copy line"),
      clipped ? h("a", { class: "button", href: `/api/download?${whole}`, download: "line.txt" }, `Download all ${count(clipped)} characters`) : null),
    h("pre", { class: "whole" }, ...painted(message.slice(0, 8192))),
    own ? h("div", { class: "tree", role: "group", "aria-label": "Fields in the line" }, tree(own, (name, value) => actions.phrase(saying(message, name, value)))) : null,
    h("div", { class: "tree", role: "group", "aria-label": "Fields of the line" }, tree(rest, (name, value) => actions.field(name, String(value)))));
}

// What finds `name = value` in a line's text: the two beside one another where it has them so, else the value.
const MOST_WORDS = 40;
const words = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
function saying(message, name, value) {
  const said = typeof value === "string" ? JSON.stringify(value).slice(1, -1) : String(value);
  const short = words(said).slice(0, MOST_WORDS).join(" "), both = [...words(name.split(".").at(-1)), short].join(" ");
  return ` ${words(message).join(" ")} `.includes(` ${both} `) ? both : short || String(value);
}

function tree(fields, choose, path = "", depth = 0) {
  return h("div", { class: "fields" }, ...Object.entries(fields).slice(0, 500).flatMap(([name, value]) => {
    const place = path ? `${path}.${name}` : name;
    if (value && typeof value === "object") {
      if (depth > 12) return [h("div", { class: "pair" }, h("span", { class: "key" }, visible(name)), h("span", {}, "…"))];
      const inner = Object.keys(value).length;
      return [h("details", { open: depth < 1 && inner <= 8 },
        h("summary", {}, visible(name), h("small", {}, ` ${inner}`)), tree(value, choose, place, depth + 1))];
    }
    const said = visible(String(value));
    return [h("div", { class: "pair" }, h("span", { class: "key" }, visible(name)),
      h("span", { class: "value" }, h("button", { type: "button", title: "Search for this value", onclick: () => choose(place, value) }, said.slice(0, 500))))];
  }));
}
