"""Following a store that another process fills: lines since some time, then what arrives, each once."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from towline.errors import StoreUnavailable, UsageError
from towline.query import Query
from towline.stores import Document, Store, open_store

QUICK, SLOW = 0.2, 0.5
"""Seconds between two looks while lines come, and after a while without any."""

Answer = TypeVar("Answer")
Wait = Callable[[float], object]
Say = Callable[[str], None]


def follow(opened: Callable[[], Store], query: Query, say: Say, wait: Wait = time.sleep) -> Iterator[list[Document]]:
    """Batches of lines, for ever: those since `query.since` (none where it is None), then new ones.

    The store may come later, go and come back: `say` tells that once each time.
    """
    patience = _Patience(say, wait)
    store = patience.get(opened)
    try:
        live = _without_start(query)
        _, cursor = patience.get(lambda: store.follow(None, live, 1))
        shown: set[tuple[str, int]] = set()
        if query.since:
            backlog = patience.get(lambda: list(store.search(query)))
            shown = {key(document) for document in backlog}
            yield backlog
        delay = QUICK
        while True:
            here = cursor
            documents, cursor = patience.get(lambda: store.follow(here, live, 1000))  # noqa: B023
            fresh = [document for document in documents if key(document) not in shown] if shown else documents
            yield fresh
            if not documents:
                shown.clear()
                wait(delay)
            delay = QUICK if documents else min(delay * 1.02, SLOW)
    finally:
        store.close()


def open_awaited(url: str) -> Store:
    """The store, for reading; StoreUnavailable also where its folder is not there yet."""
    try:
        return open_store(url, read_only=True)
    except UsageError as error:
        parts = urlsplit(url)
        if parts.scheme == "sqlite" and not parts.netloc and not Path(unquote(parts.path)).exists():
            raise StoreUnavailable(str(error)) from error
        raise


def key(document: Document) -> tuple[str, int]:
    """What tells a line from every other: its container and its place in that container's log; an event's is its id."""
    event, container = document.get("event") or {}, document.get("container") or {}
    return str(container.get("id") or event.get("id")), int(event.get("sequence", -1))


def _without_start(query: Query) -> Query:
    return Query(query.where, query.service, query.container, query.stream, query.node, limit=0)


class _Patience:
    """Asks again, ever less often, where the store is not there."""

    def __init__(self, say: Say, wait: Wait) -> None:
        self._say = say
        self._wait = wait

    def get(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` answers once it does not raise StoreUnavailable any more."""
        delay, told = QUICK, ""
        while True:
            try:
                answer = ask()
            except StoreUnavailable as error:
                if told != str(error):
                    told = str(error)
                    self._say(f"waiting: {told}")
                self._wait(delay)
                delay = min(delay * 1.5, 2.0)
                continue
            if told:
                self._say("the store is there")
            return answer
