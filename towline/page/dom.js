// Elements from text alone: nothing here, or anywhere in the page, turns text into HTML.
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const $ = (id) => document.getElementById(id);

export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

// As `fill`, but what is there already stays the same element: a press, a focus or a hover survives it. Elements that
// listen are told apart by data-key.
const KEPT = new Set(["SECTION", "UL", "LI", "BUTTON"]);
export function update(node, ...children) {
  merge(node, h("div", {}, ...children));
}

function merge(old, fresh) {
  const all = [...fresh.childNodes];
  all.forEach((wanted, at) => {
    const there = old.childNodes[at];
    if (!there) old.append(wanted);
    else if (there.isEqualNode(wanted)) return;
    else if (KEPT.has(there.nodeName) && there.nodeName === wanted.nodeName && there.dataset.key === wanted.dataset.key) {
      for (const { name } of [...there.attributes]) if (!wanted.hasAttribute(name)) there.removeAttribute(name);
      for (const { name, value } of wanted.attributes) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
      merge(there, wanted);
    } else there.replaceWith(wanted);
  });
  while (old.childNodes.length > all.length) old.lastChild.remove();
}

// A number from 0 to 11 for a name, its colour: the one that the name asks for, or the next that nobody has yet.
const hues = new Map();
export function hue(name) {
  if (hues.has(name)) return hues.get(name);
  let code = 2166136261;
  for (let at = 0; at < name.length; at++) code = Math.imul(code ^ name.charCodeAt(at), 16777619) >>> 0;
  const taken = new Set(hues.values()), wish = (code >>> 8) % 12;
  const free = Array.from({ length: 12 }, (_, step) => (wish + step * 5) % 12).find((each) => !taken.has(each)) ?? wish;
  if (hues.size < 5000) hues.set(name, free);
  return free;
}

export const count = (number) => Math.round(number).toLocaleString("en");

export function bytes(number) {
  if (number === null || number === undefined) return "–";
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (number < 1000) return `${number < 10 && unit !== "B" ? number.toFixed(1) : Math.round(number)} ${unit}`;
    number /= 1024;
  }
  return `${number.toFixed(1)} TB`;
}
