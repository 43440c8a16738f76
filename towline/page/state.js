// What is looked at, all of it in the address: a link shows the same to somebody else.
const MANY = ["service", "container", "node", "stream", "level"];
const ONE = ["q", "since", "until", "at", "view"];
export const VIEWS = ["logs", "metrics", "pipeline"];

export function parsed(search) {
  const given = new URLSearchParams(search), state = {};
  for (const name of ONE) state[name] = given.get(name) || "";
  for (const name of MANY) state[name] = given.getAll(name).filter(Boolean);
  if (!VIEWS.includes(state.view)) state.view = "logs";
  state.since ||= "15m";
  return state;
}

export function shown(state) {
  const given = new URLSearchParams();
  for (const name of ONE) if (state[name] && !(name === "view" && state.view === "logs")) given.append(name, state[name]);
  for (const name of MANY) for (const value of state[name]) given.append(name, value);
  return `/?${given}`;
}

// The filters as the server takes them, without the range.
export function filters(state) {
  const given = new URLSearchParams();
  if (state.q.trim()) given.append("q", state.q);
  for (const name of MANY) for (const value of state[name]) given.append(name, value);
  return given;
}

export const isLive = (state) => !state.until && !state.at;
export const isFiltered = (state) => Boolean(state.q.trim()) || MANY.some((name) => state[name].length);

// Words of the query that lines can be marked with.
export function marks(query) {
  const found = [];
  for (const [, minus, phrase, word] of query.matchAll(/(-?)(?:"([^"]*)"|([^\s()"]+))/g)) {
    const text = (phrase ?? word ?? "").replace(/\*+$/, "");
    if (!minus && text.length > 1 && !/^(OR|AND|NOT)$/.test(text) && !/^[\w.@-]+:/.test(text)) found.push(text.toLowerCase());
  }
  return found.slice(0, 12);
}
