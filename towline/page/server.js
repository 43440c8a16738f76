// Questions to the server that this page came from, and only to it.
const CLIP = 8192;
const RATE = 800;

export class Refused extends Error {
  constructor(text, status) { super(text); this.status = status; }
}

export const address = (path, given = "") => new URL(`${path}${String(given) ? `?${given}` : ""}`, location.origin);

export async function ask(path, given = "", signal = undefined) {
  let response;
  try {
    response = await fetch(address(path, given), { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("Towline does not answer: it was stopped, or the network is away. Trying again…", 0);
  }
  let content = null;
  try { content = await response.json(); } catch (error) { if (error.name === "AbortError") throw error; }
  if (response.ok && content) return content;
  throw new Refused(content?.error || `the server answered ${response.status}`, response.status);
}

export function searching(filters, range) {
  const given = new URLSearchParams(filters);
  for (const [name, value] of Object.entries({ clip: CLIP, ...range })) if (value) given.set(name, value);
  return given;
}

// A live tail that comes back where it was: EventSource does so by itself, but for answers that are errors.
export class Tail {
  constructor(filters, { onLines, onOpen, onTrouble }) {
    Object.assign(this, { onLines, onOpen, onTrouble, cursor: "", closed: false, resting: false, delay: 1000 });
    this.filters = new URLSearchParams(filters);
    this.filters.set("rate", RATE);
    this.filters.set("clip", CLIP);
    this.connect();
  }

  connect() {
    const given = new URLSearchParams(this.filters);
    if (this.cursor) given.set("cursor", this.cursor);
    const source = this.source = new EventSource(address("/api/tail", given));
    source.onopen = () => { this.delay = 1000; this.onOpen(); };
    source.onmessage = (event) => {
      this.cursor = event.lastEventId;
      const { hits, skipped = 0 } = JSON.parse(event.data);
      this.onLines(hits, skipped);
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.again();
      else this.onTrouble("The connection is away; lines that come meanwhile follow when it is back.");
    };
  }

  async again() {
    const given = new URLSearchParams(this.filters);
    for (const name of ["rate", "clip"]) given.delete(name);
    given.set("limit", "1");
    let text = "The server ended the live tail; trying again.", status = 0;
    try { await ask("/api/search", given); } catch (error) { text = error.message; status = error.status ?? 0; }
    if (this.closed || this.resting) return;
    this.onTrouble(text);
    if (status === 400) return;
    this.timer = setTimeout(() => this.connect(), this.delay);
    this.delay = Math.min(this.delay * 2, 10000);
  }

  // Gives the connection back: a browser has only six for all tabs of one server.
  rest() {
    this.resting = true;
    clearTimeout(this.timer);
    this.source.close();
  }

  // Goes on where it was; false where it had not begun.
  wake() {
    if (!this.resting) return true;
    this.resting = false;
    if (this.cursor) this.connect();
    return Boolean(this.cursor);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
