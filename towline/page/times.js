// Points in time. The server's stamps have nine digits of a second, more than a number can hold: they stay text.
const two = (number) => String(number).padStart(2, "0");

export const milliseconds = (stamp) => Date.parse(stamp.slice(0, 23) + "Z");

export function clock(stamp) {
  const date = new Date(milliseconds(stamp));
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${stamp.slice(20, 23)}`;
}

export function day(stamp) {
  const date = new Date(milliseconds(stamp));
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

// As short as it can be said on an axis that spans `span` milliseconds.
export function tick(moment, span) {
  const date = new Date(moment);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (span < 10 * 60e3) return `${time}:${two(date.getSeconds())}`;
  return span < 36 * 3600e3 ? time : `${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

export const iso = (moment) => new Date(moment).toISOString();

// The stamp one nanosecond later, as what ends a range at (and includes) it.
export function after(stamp) {
  const rest = Number(stamp.slice(20, 29)) + 1;
  if (rest < 1e9) return `${stamp.slice(0, 20)}${String(rest).padStart(9, "0")}Z`;
  return `${new Date(Date.parse(stamp.slice(0, 19) + "Z") + 1000).toISOString().slice(0, 19)}.000000000Z`;
}

export function ago(moment, now = Date.now()) {
  const seconds = Math.max(0, (now - moment) / 1000);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) if (seconds >= size) return `${Math.floor(seconds / size)}${unit}`;
  return `${Math.floor(seconds)}s`;
}

const UNITS = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 604800e3 };
export function span(text) {
  const found = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/i.exec(text || "");
  return found ? Number(found[1]) * UNITS[found[2].toLowerCase()] : null;
}
