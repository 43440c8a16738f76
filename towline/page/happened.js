// What happened to containers: marks over charts, and the same in words.
import { h } from "./dom.js";
import { plain } from "./ansi.js";
import { clock, iso, tick } from "./times.js";

const WORDS = { started: "started", stopped: "stopped", deployed: "deployed", oom: "out of memory: killed", unhealthy: "unhealthy", healthy: "healthy again" };
// These are drawn over the others.
const WEIGHT = { oom: 4, deployed: 3, unhealthy: 2, stopped: 1 };
// As many marks of a kind beside one another as can be told apart.
const PLACES = 120;

export const within = (happened, since, until) => (happened ?? []).filter(({ time }) => time * 1000 >= since && time * 1000 <= until);

const kind = (each) => each.what === "stopped" && each.about && each.about !== "0" ? "failed" : each.what in WORDS ? each.what : "other";

function words(each) {
  const about = !each.about ? "" : each.what === "stopped" ? `, exit code ${each.about}` : each.what === "deployed" ? `: ${each.about}` : "";
  return `${WORDS[each.what] ?? each.what}${about}`;
}

export function markers(happened, since, until) {
  const places = new Map();
  for (const each of [...happened].sort((a, b) => (WEIGHT[a.what] ?? 0) - (WEIGHT[b.what] ?? 0))) {
    const part = (each.time * 1000 - since) / (until - since), key = `${kind(each)} ${Math.floor(part * PLACES)}`;
    const place = places.get(key) ?? places.set(key, { part, said: [] }).get(key);
    place.said.push(plain(`${clock(iso(each.time * 1000))} ${each.container} ${words(each)}`));
  }
  return h("div", { class: "marks", "aria-hidden": "true" }, [...places].map(([key, { part, said }]) => {
    const more = said.length > 5 ? [`and ${said.length - 5} more`] : [];
    const mark = h("span", { class: `mk k-${key.split(" ")[0]}`, title: [...said.slice(0, 5), ...more].join("\n") });
    mark.style.left = `${part * 100}%`;
    return mark;
  }));
}

export function happening(each, around) {
  const moment = each.time * 1000;
  return h("li", {}, h("button", { type: "button", "data-key": `${each.time} ${each.id} ${each.what}`, title: "The lines of this time", onclick: () => around(moment) },
    h("span", { class: `key k-${kind(each)}`, "aria-hidden": "true" }), h("time", {}, tick(moment, 0)), " ",
    h("b", {}, plain(each.container || each.id.slice(0, 12))), ` ${plain(words(each))}`));
}
