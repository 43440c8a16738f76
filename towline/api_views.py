"""What the page asks beside lines: counts over time, containers, the lines around one, downloads."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

import orjson
from werkzeug.wrappers import Request, Response

from towline import __version__
from towline.api import FILTERS, asked, number
from towline.api_pipeline import pipeline as pipeline
from towline.errors import UsageError
from towline.http import Handler, answer
from towline.levels import LEVELS, UNKNOWN
from towline.query import parse_time
from towline.stores import Document, Store
from towline.terminal import escape
from towline.times import nanoseconds

BUCKETS = 240
MOST_CONTAINERS = 2000
MOST_NAME = 256
MOST_CONTEXT = 1000
STEPS = (1, 5, 10, 50, 100, 500, *(1000 * each for each in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
         7200, 14400, 28800, 86400, 7 * 86400, 30 * 86400)))  # fmt: skip
"""Milliseconds of a bucket that people can read."""
_FORMATS = {"ndjson": "application/x-ndjson", "text": "text/plain; charset=utf-8"}


def handlers(store: Store) -> dict[str, Handler]:
    """The views of a store."""

    def histogram(request: Request) -> Response:
        return answer(_histogram(store, request))

    def containers(request: Request) -> Response:
        limit = number(request.args, "limit", MOST_CONTAINERS, MOST_CONTAINERS) or MOST_CONTAINERS
        found, total = store.containers(limit, request.args.get("name", "").strip()[:MOST_NAME])
        return answer({"containers": [asdict(each) for each in found], "total": total})

    def context(request: Request) -> Response:
        before, after = (number(request.args, name, 50, MOST_CONTEXT) for name in ("before", "after"))
        container = request.args.get("container", "")
        if not container:
            raise UsageError("context needs container=ID and sequence=N, as a line has them")
        hit = {"container": {"id": container}, "event": {"sequence": number(request.args, "sequence", 0, 10**17)}}
        earlier, later = store.context(hit, before, after)
        return answer({"before": earlier, "after": later})

    def download(request: Request) -> Response:
        return _download(store, request)

    return {"/api/histogram": histogram, "/api/containers": containers, "/api/context": context,
            "/api/download": download}  # fmt: skip


def _histogram(store: Store, request: Request) -> dict[str, Any]:
    query = asked(request.args, (*FILTERS, "since", "until"), ("step",))
    now = time.time()
    since = query.since or parse_time("15m", now)
    until = query.until or parse_time("now", now)
    begin, end = (nanoseconds(moment) // 1_000_000 for moment in (since, until))
    if begin >= end:
        raise UsageError(f"the range since {since} until {until} is empty: since must be earlier than until")
    step = number(request.args, "step", 0, 10**12) or fitting_step(end - begin)
    if (end - begin) / step > 5000:
        raise UsageError(f"step {step}: more than 5000 buckets; choose a longer step or a shorter range")
    found = store.histogram(replace(query, since=since, until=until), step)
    buckets = [[begin, *(row.get(level, 0) for level in (*LEVELS, UNKNOWN))]
               for begin, row in sorted(found.counts.items())]  # fmt: skip
    return {"step": step, "since": begin, "until": end, "levels": [*LEVELS, UNKNOWN], "buckets": buckets,
            "complete": found.complete}  # fmt: skip


def fitting_step(span: int) -> int:
    """The shortest step (ms) of STEPS that needs about BUCKETS at most for a span of `span` ms."""
    return next((step for step in STEPS if span / step <= BUCKETS + 1), STEPS[-1] * (1 + span // STEPS[-1] // BUCKETS))


def _download(store: Store, request: Request) -> Response:
    form = request.args.get("format") or "ndjson"
    if form not in _FORMATS:
        raise UsageError(f"format {form!r}: use {' or '.join(_FORMATS)}")
    query = asked(request.args, (*FILTERS, "since", "until"), ("format",))
    found = store.search(replace(query, order="asc", limit=0))
    response = Response(_pieces(found, _as_json if form == "ndjson" else _as_text), content_type=_FORMATS[form])
    name = f"towline.{'ndjson' if form == 'ndjson' else 'txt'}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _pieces(documents: Iterable[Document], shown: Any) -> Iterator[bytes]:
    """About 64 KB at a time."""
    rows: list[bytes] = []
    size = 0
    for document in documents:
        rows.append(shown(document))
        size += len(rows[-1])
        if size > 64 << 10:
            yield b"".join(rows)
            rows, size = [], 0
    yield b"".join(rows)


def _as_json(document: Document) -> bytes:
    return orjson.dumps(document) + b"\n"


def _as_text(document: Document) -> bytes:
    name = (document.get("container") or {}).get("name", "")
    return f"{document.get('@timestamp', '')} {escape(str(name))} {escape(str(document.get('message', '')))}\n".encode()


def about(shown_store: str, features: Iterable[str], node: str = "") -> dict[str, Handler]:
    """`/api/about`: what the page may offer here."""
    content = {"version": __version__, "store": shown_store, "features": sorted(features), "node": node,
               "levels": LEVELS}  # fmt: skip

    def told(request: Request) -> Response:
        return answer({**content, "now": round(time.time(), 3)})

    return {"/api/about": told}
