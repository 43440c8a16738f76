"""What `towline up` answers about lines: `/api/search` (JSON), `/api/tail` (server-sent events), `/` (a list of all).

An event of `/api/tail` is `data: {"hits":[…]}` with the store's cursor as its id. All lines that share a cursor are in
one event, so a reader that comes back with Last-Event-ID misses none and gets none twice. An event that has only an id
moves the cursor on and shows that the connection lives.
"""

import time
from collections.abc import Iterable, Iterator, Mapping

import orjson
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from towline.errors import StoreUnavailable, UsageError
from towline.http import Handler, Tails
from towline.query import Query, parse, parse_time
from towline.stores import Document, Store

FILTERS = ("service", "container", "stream", "node")
RANGE = ("since", "until", "order", "limit")
MOST_HITS = 10_000
MOST_BYTES = 64 << 20
TAIL_HITS = 200
HEARTBEAT = 5.0
_QUICK, _SLOW = 0.1, 0.5

_ABOUT = {
    "/": "this list",
    "/api/search": "q, service, container, stream, node, since, until, order, limit; JSON",
    "/api/tail": "q, service, container, stream, node; server-sent events",
    "/api/metrics": "by (container, service, node), service, container, since, until; JSON, the last hour",
    "/metrics": "for Prometheus",
    "/sd/targets": "for Prometheus' http_sd_configs, on a manager of a Swarm",
    "/healthz": "200 while the process lives",
    "/readyz": "200, or 503 with a line for each problem",
}


def handlers(store: Store, tails: Tails) -> dict[str, Handler]:
    def search(request: Request) -> Response:
        begin = time.perf_counter()
        query = asked(request.args, (*FILTERS, *RANGE))
        hits, cut = _bounded(store.search(query))
        took = round((time.perf_counter() - begin) * 1000, 1)
        tail = b',"cut":true' if cut else b""
        body = b'{"hits":[' + b",".join(hits) + b'],"took_ms":' + orjson.dumps(took) + tail + b"}\n"
        return Response(body, content_type="application/json")

    def tail(request: Request) -> Response:
        query = asked(request.args, FILTERS)
        tails.enter()
        try:
            events = Events(store, query, request.headers.get("Last-Event-ID") or None, tails)
        except BaseException:
            tails.leave()
            raise
        response = Response(events, content_type="text/event-stream; charset=utf-8")
        response.call_on_close(tails.leave)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return {"/api/search": search, "/api/tail": tail}


def with_index(pages: Mapping[str, Handler]) -> dict[str, Handler]:
    """The pages and `/`, which lists them."""
    paths = ("/", *pages)
    text = "Towline\n\n" + "".join(f"{path:<13} {_ABOUT.get(path, '')}\n" for path in paths)

    def index(request: Request) -> Response:
        return Response(text, content_type="text/plain; charset=utf-8")

    return {"/": index, **pages}


def asked(arguments: MultiDict[str, str], names: Iterable[str]) -> Query:
    """The query that a URL's parameters (`q` and those of `names`) ask for; UsageError where they can't."""
    known = {"q", *names}
    for name in arguments:
        if name not in known:
            raise UsageError(f"unknown parameter {name!r}; use {', '.join(sorted(known))}")
    for name in (*RANGE, "q"):
        if len(arguments.getlist(name)) > 1:
            raise UsageError(f"parameter {name!r} is there twice; give it once")
    now = time.time()
    since, until = arguments.get("since"), arguments.get("until")
    return Query(
        where=parse(arguments.get("q", "")),
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


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < len(text) < 9 or not 1 <= int(text) <= MOST_HITS:
        raise UsageError(f"limit {text!r}: use a number from 1 to {MOST_HITS}")
    return int(text)


def _bounded(documents: Iterator[Document]) -> tuple[list[bytes], bool]:
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


class Events:
    """The server-sent events of one live tail; ends when the server stops.

    Raises UsageError or StoreUnavailable at once where the cursor or the query is of no use.
    """

    def __init__(self, store: Store, query: Query, cursor: str | None, tails: Tails) -> None:
        self._store = store
        self._query = query
        self._tails = tails
        self._told = ""
        self._first, self._cursor = store.follow(cursor, query, TAIL_HITS)

    def __iter__(self) -> Iterator[bytes]:
        yield b"retry: 1000\n" + event(self._cursor, self._first)
        delay, spoken = _QUICK, time.monotonic()
        while not self._tails.stopping.wait(delay):
            news = self._news()
            delay = 0.0 if news else min(delay * 1.2 + 0.01, _SLOW) if delay else _QUICK
            if news or time.monotonic() - spoken > HEARTBEAT:
                spoken = time.monotonic()
                yield news or event(self._cursor, [])

    def _news(self) -> bytes:
        try:
            documents, self._cursor = self._store.follow(self._cursor, self._query, TAIL_HITS)
        except StoreUnavailable as error:
            return self._complaint(str(error))
        self._told = ""
        return event(self._cursor, documents) if documents else b""

    def _complaint(self, text: str) -> bytes:
        """A comment that the store is away, once for each reason."""
        if text == self._told:
            return b""
        self._told = text
        return b": " + " ".join(text.split()).encode() + b"\n\n"


def event(cursor: str, documents: list[Document]) -> bytes:
    """One server-sent event; without documents it only sets the reader's last event id."""
    identity = b"id: " + cursor.encode() + b"\n"
    if not documents:
        return identity + b"\n"
    return identity + b"data: " + orjson.dumps({"hits": documents}) + b"\n\n"
