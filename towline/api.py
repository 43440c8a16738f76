"""What `towline up` answers about lines: `/api/search` (JSON), `/api/tail` (server-sent events), `/api` (all of it).

An event of `/api/tail` is `data: {"hits":[…]}` with the store's cursor as its id. All lines that share a cursor are in
one event, so a reader that comes back with Last-Event-ID misses none and gets none twice. An event that has only an id
moves the cursor on and shows that the connection lives. With `rate=N`, for people, about N lines a second are shown at
most, the newest ones, and `skipped` says how many the event leaves out.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import orjson
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from towline import levels
from towline.errors import StoreUnavailable, UsageError
from towline.http import Handler, Tails
from towline.query import Query, both, parse, parse_time
from towline.stores import Document, Store

FILTERS = ("service", "container", "stream", "node", "level")
RANGE = ("since", "until", "order", "limit")
MOST_HITS = 10_000
MOST_BYTES = 64 << 20
TAIL_HITS = 200
HEARTBEAT = 5.0
BEAT = 0.25
"""Seconds between two events of a tail with a rate."""
ROUND, MOST_ROUNDS = 2000, 10
"""Lines asked for at once, and how often in a row, for a tail with a rate."""
_QUICK, _SLOW = 0.1, 0.5

_ABOUT = {
    "/": "the page",
    "/api": "this list",
    "/api/search": "q, service, container, stream, node, level, since, until, order, limit, clip; JSON",
    "/api/tail": "q, service, container, stream, node, level, rate, clip, cursor; server-sent events",
    "/api/histogram": "as /api/search with step (ms); lines over time, by level",
    "/api/containers": "limit, name (part of one); who has lines here, removed containers too",
    "/api/context": "container (id), sequence, before, after; the lines around one",
    "/api/download": "as /api/search with format (ndjson, text); a file, oldest first",
    "/api/about": "version, store, and what this server has",
    "/api/pipeline": "the ledger, lag and spool; JSON",
    "/api/metrics": "by (container, service, node), service, container, series, since, until, happened (no); JSON",
    "/metrics": "for Prometheus",
    "/sd/targets": "for Prometheus' http_sd_configs, on a manager of a Swarm",
    "/healthz": "200 while the process lives",
    "/readyz": "200, or 503 with a line for each problem",
}


def handlers(store: Store, tails: Tails) -> dict[str, Handler]:
    def search(request: Request) -> Response:
        begin = time.perf_counter()
        query = asked(request.args, (*FILTERS, *RANGE), ("clip",))
        clip = number(request.args, "clip", 0, MOST_BYTES)
        hits, cut = _bounded(clipped(each, clip) for each in store.search(query))
        took = round((time.perf_counter() - begin) * 1000, 1)
        tail = b',"cut":true' if cut else b""
        body = b'{"hits":[' + b",".join(hits) + b'],"took_ms":' + orjson.dumps(took) + tail + b"}\n"
        return Response(body, content_type="application/json")

    def tail(request: Request) -> Response:
        query = asked(request.args, FILTERS, ("rate", "clip", "cursor"))
        rate, clip = number(request.args, "rate", 0, 100_000), number(request.args, "clip", 0, MOST_BYTES)
        cursor = request.headers.get("Last-Event-ID") or request.args.get("cursor") or None
        tails.enter()
        try:
            events = Events(store, query, cursor, tails, rate, clip)
        except BaseException:
            tails.leave()
            raise
        response = Response(events, content_type="text/event-stream; charset=utf-8")
        response.call_on_close(tails.leave)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return {"/api/search": search, "/api/tail": tail}


def with_index(pages: Mapping[str, Handler]) -> dict[str, Handler]:
    """The pages and `/api`, which lists them; `/` is the list where there is no page."""
    paths = [path for path in ("/api", *pages) if path in _ABOUT]
    text = "Towline\n\n" + "".join(f"{path:<15} {_ABOUT[path]}\n" for path in paths)

    def index(request: Request) -> Response:
        return Response(text, content_type="text/plain; charset=utf-8")

    return {"/": index, "/api": index, **pages}


def asked(arguments: MultiDict[str, str], names: Iterable[str], others: Iterable[str] = ()) -> Query:
    """The query that a URL's parameters (`q` and those of `names`) ask for; UsageError where they can't. Parameters of
    `others` are the caller's to read."""
    known = {"q", *names, *others}
    for name in arguments:
        if name not in known:
            raise UsageError(f"unknown parameter {name!r}; use {', '.join(sorted(known))}")
    for name in (*RANGE, *others, "q"):
        if len(arguments.getlist(name)) > 1:
            raise UsageError(f"parameter {name!r} is there twice; give it once")
    now = time.time()
    since, until = arguments.get("since"), arguments.get("until")
    wanted = _values(arguments, "level")
    words, level = parse(arguments.get("q", "")), levels.condition(wanted) if wanted else None
    return Query(
        where=both(tuple(part for part in (words, level) if part)),
        service=_values(arguments, "service"),
        container=_values(arguments, "container"),
        stream=_values(arguments, "stream"),
        node=_values(arguments, "node"),
        since=parse_time(since, now) if since else None,
        until=parse_time(until, now) if until else None,
        order=arguments.get("order") or "desc",
        limit=_limit(arguments.get("limit") or "100"),
    )


def _values(arguments: MultiDict[str, str], name: str) -> tuple[str, ...]:
    return tuple(value for value in arguments.getlist(name) if value)


def number(arguments: MultiDict[str, str], name: str, default: int, most: int) -> int:
    """A parameter that is a whole number from 0 to `most`; UsageError where it is another."""
    text = arguments.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or int(text) > most:
        raise UsageError(f"{name} {text!r}: use a number from 0 to {most}")
    return int(text)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < len(text) < 9 or not 1 <= int(text) <= MOST_HITS:
        raise UsageError(f"limit {text!r}: use a number from 1 to {MOST_HITS}")
    return int(text)


def _bounded(documents: Iterable[Document]) -> tuple[list[bytes], bool]:
    """The documents as JSON, as many as fit into MOST_BYTES, and whether there were more."""
    hits: list[bytes] = []
    room = MOST_BYTES
    for document in documents:
        hit = orjson.dumps(document)
        room -= len(hit)
        if room < 0:
            return hits, True
        hits.append(hit)
    return hits, False


def clipped(document: Document, most: int) -> Document:
    """The document with at most `most` characters of message (0: all), and in `clipped` how many it has."""
    message = document.get("message")
    if not most or not isinstance(message, str) or len(message) <= most:
        return document
    return {**document, "message": message[:most], "clipped": len(message)}


class Events:
    """The server-sent events of one live tail; ends when the server stops.

    `rate` 0 shows every line. Raises UsageError or StoreUnavailable at once where the cursor or the query is of no use.
    """

    def __init__(
        self, store: Store, query: Query, cursor: str | None, tails: Tails, rate: int = 0, clip: int = 0
    ) -> None:
        self._store = store
        self._query = query
        self._tails = tails
        self._rate, self._clip = rate, clip
        self._told = ""
        self._first, self._cursor = store.follow(cursor, query, TAIL_HITS)

    def __iter__(self) -> Iterator[bytes]:
        yield b"retry: 1000\n" + event(self._cursor, self._first)
        delay, spoken = _QUICK, time.monotonic()
        while not self._tails.stopping.wait(delay):
            news = self._news()
            delay = (BEAT if self._rate else 0.0) if news else min(delay * 1.2 + 0.01, _SLOW) if delay else _QUICK
            if news or time.monotonic() - spoken > HEARTBEAT:
                spoken = time.monotonic()
                yield news or event(self._cursor, [])

    def _news(self) -> bytes:
        skipped = 0
        try:
            if self._rate:
                documents, skipped = self._newest()
            else:
                documents, self._cursor = self._store.follow(self._cursor, self._query, TAIL_HITS)
        except StoreUnavailable as error:
            return self._complaint(str(error))
        self._told = ""
        return event(self._cursor, [clipped(each, self._clip) for each in documents], skipped) if documents else b""

    def _newest(self) -> tuple[list[Document], int]:
        """Of all that has arrived (but a bounded part of it) as many as the rate allows, and how many those leave out.

        The cursor moves only with what is told, so that a reader who comes back knows of each line that it is shown or
        left out.
        """
        room = max(1, int(self._rate * BEAT))
        kept: deque[Document] = deque(maxlen=room)
        cursor, seen = self._cursor, 0
        for _ in range(MOST_ROUNDS):
            documents, cursor = self._store.follow(cursor, self._query, ROUND)
            kept += documents
            seen += len(documents)
            if len(documents) < ROUND:
                break
        self._cursor = cursor
        return list(kept), seen - len(kept)

    def _complaint(self, text: str) -> bytes:
        """A comment that the store is away, once for each reason."""
        if text == self._told:
            return b""
        self._told = text
        return b": " + " ".join(text.split()).encode() + b"\n\n"


def event(cursor: str, documents: list[Document], skipped: int = 0) -> bytes:
    """One server-sent event; without documents it only sets the reader's last event id."""
    identity = b"id: " + cursor.encode() + b"\n"
    if not documents:
        return identity + b"\n"
    content = {"hits": documents, "skipped": skipped} if skipped else {"hits": documents}
    return identity + b"data: " + orjson.dumps(content) + b"\n\n"
