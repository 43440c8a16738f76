// A line's level: what a rule found (log.level), what it says in a field of its own, else the words in it. The server counts by
// the first and the last of these.
const WORDS = {
  error: ["error", "err", "errors", "fatal", "panic", "critical", "crit", "emerg", "exception", "traceback"],
  warn: ["warn", "warning"], info: ["info", "notice"], debug: ["debug", "trace", "verbose"],
};
export const LEVELS = [...Object.keys(WORDS), "none"];
const BY_WORD = new Map(Object.entries(WORDS).flatMap(([level, words]) => words.map((word) => [word, level])));
const NUMBERS = { 10: "debug", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "error" };
const COLOUR = /\x1b\[[0-9;:]*m/g;
const FIELD = /\b(?:level|lvl|severity)=["']?(\w+)/i;

const TOLD = new Map([...BY_WORD, ["alert", "error"], ["emergency", "error"]]);
const named = (text) => BY_WORD.get(String(text).toLowerCase()) ?? NUMBERS[text];

export function levelOf(coloured, fields, parsed) {
  if (TOLD.has(parsed)) return TOLD.get(parsed);
  const message = coloured.slice(0, 4000).replace(COLOUR, "");
  const own = fields && (fields.level ?? fields.severity ?? fields.lvl ?? fields["log.level"] ?? fields.log?.level);
  const told = own !== undefined && own !== null ? named(own) : named(FIELD.exec(message)?.[1]);
  if (told) return told;
  let best = 4;
  for (const word of message.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    const level = BY_WORD.get(word);
    if (level) best = Math.min(best, LEVELS.indexOf(level));
  }
  return LEVELS[best];
}

// The object in a line that is JSON, or null.
export function fieldsOf(message) {
  if (message[0] !== "{" || message.length > 65536) return null;
  try {
    const found = JSON.parse(message);
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch { return null; }
}

// `key=value` pairs of a line (logfmt), at least two, or null.
export function pairsOf(message) {
  const pairs = [...message.slice(0, 8192).replace(COLOUR, "").matchAll(/(?:^|\s)([A-Za-z_][\w.-]*)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))/g)];
  return pairs.length > 1 ? Object.fromEntries(pairs.map(([, name, quoted, plain]) => [name, quoted ?? plain])) : null;
}
