// Colours of terminals as spans; every other control sequence is taken out, what is left of control characters is shown.
import { h } from "./dom.js";

const SEQUENCE = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|\x1b/g;
// C0, DEL and C1, and what turns the direction of text around.
const HIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

export function visible(text) {
  return text.replace(HIDDEN, (sign) => {
    const code = sign.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? "␡" : `‹${code.toString(16).padStart(4, "0")}›`;
  });
}

// The text as nodes; `marks`: words to highlight, lower case.
export function painted(text, marks = []) {
  const nodes = [];
  let style = {}, at = 0;
  const put = (piece) => { if (piece) nodes.push(...styled(visible(piece.replace(/\r$/, "")), style, marks)); };
  for (const found of text.matchAll(SEQUENCE)) {
    put(text.slice(at, found.index));
    at = found.index + found[0].length;
    if (found[1] !== undefined) style = changed(style, found[1]);
  }
  put(text.slice(at));
  return nodes;
}

export const plain = (text) => visible(text.replace(SEQUENCE, ""));

function styled(text, style, marks) {
  const names = Object.entries(style).filter(([, on]) => on && typeof on !== "object").map(([name, on]) => on === true ? `a-${name}` : `a-${name}${on}`);
  const colour = style.fg && typeof style.fg === "object" ? style.fg : null;
  const pieces = marked(text, marks);
  if (!names.length && !colour) return pieces;
  const span = h("span", { class: names.join(" ") }, ...pieces);
  if (colour) span.style.color = `rgb(${colour.join(" ")})`;
  return [span];
}

function marked(text, marks) {
  if (!marks.length || text.length > 20000) return [text];
  const pieces = [], lower = text.toLowerCase();
  let at = 0;
  while (at < text.length) {
    let best = -1, size = 0;
    for (const mark of marks) {
      const [place, long] = mark.includes(" ") ? apart(lower, mark, at) : [lower.indexOf(mark, at), mark.length];
      if (place >= 0 && (best < 0 || place < best)) { best = place; size = long; }
    }
    if (best < 0 || lower.length !== text.length) break;
    pieces.push(text.slice(at, best), h("mark", {}, text.slice(best, best + size)));
    at = best + size;
  }
  pieces.push(text.slice(at));
  return pieces;
}

// Where the words of a phrase stand with only signs between them, and how far that reaches.
const SIGNS = /[^\p{L}\p{N}]+/gu;
function apart(lower, phrase, at) {
  const wanted = new RegExp(phrase.split(SIGNS).filter(Boolean).join("[^\\p{L}\\p{N}]+"), "gu");
  wanted.lastIndex = at;
  const found = wanted.exec(lower);
  return found && found[0] ? [found.index, found[0].length] : [-1, 0];
}

function changed(before, codes) {
  let style = { ...before };
  const numbers = codes.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at];
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.struck = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code === 29) style.struck = false;
    else if (code >= 30 && code <= 37) style.fg = String(code - 30);
    else if (code >= 90 && code <= 97) style.fg = String(code - 82);
    else if (code === 39) style.fg = undefined;
    else if (code >= 40 && code <= 47) style.bg = String(code - 40);
    else if (code >= 100 && code <= 107) style.bg = String(code - 92);
    else if (code === 49) style.bg = undefined;
    else if (code === 38 || code === 48) {
      const rgb = numbers[at + 1] === 2 ? numbers.slice(at + 2, at + 5) : numbers[at + 1] === 5 ? palette(numbers[at + 2]) : null;
      at += numbers[at + 1] === 2 ? 4 : 2;
      if (code === 38 && rgb && (typeof rgb === "string" || rgb.every((part) => part >= 0 && part <= 255))) style.fg = rgb;
    }
  }
  return style;
}

function palette(number) {
  if (!(number >= 0 && number <= 255)) return null;
  if (number < 16) return String(number);
  if (number > 231) return Array(3).fill(8 + (number - 232) * 10);
  const cube = number - 16, level = (part) => part ? 55 + part * 40 : 0;
  return [level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)];
}
