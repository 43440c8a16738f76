"""Writing to Elasticsearch: bulk requests, a fate for each line, and no line twice whatever happens in between."""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from towline.batch import Batch
from towline.errors import StoreUnavailable
from towline.stores import Verdict
from towline.stores.es_address import Address
from towline.stores.es_ask import JSON, NDJSON
from towline.stores.es_bulk import AGAIN, DONE, NEVER, REPEATED, Body, Part, Tally, bodies, fate, parts_of, sound
from towline.stores.es_errors import advice, cause, told, translated
from towline.stores.es_indices import Generation, generation, known, suspects
from towline.stores.es_letters import bury

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds within one `write` for what may go better on another try; then the caller hears why."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
_FILTER = "errors,items.*.status,items.*.error,items.*.failure_store"


class Writer:
    """Safe to call from several threads. `prepare` puts the templates in place, where they turn out to be missing."""

    def __init__(
        self, client: Elasticsearch, address: Address, prepare: Callable[[], None], *, patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._client = client.options(max_retries=0)
        self._address, self._stream = address, address.layout.stream
        self._prepare, self._patience, self._clock = prepare, patience, clock
        self._name = f"towline-{uuid.uuid4().hex[:12]}"
        self._path = f"/{self._stream}/_bulk"
        self._params = {"filter_path": _FILTER, "require_data_stream": "true"}
        if address.layout.refresh == "now":
            self._params["refresh"] = "true"
        self._lock = threading.Lock()
        self._indices: Generation | None = None
        self._doubt: str | None = None
        """Since which index on requests have had an unknown outcome."""
        self._unfinished = False
        self._pause = threading.Event()
        self.failure: StoreUnavailable | None = None

    def write(self, batches: Sequence[Batch]) -> list[Verdict]:
        tally = Tally(batches)
        try:
            with translated(self._address.shown):
                self._send_all(deque(bodies(parts_of(tally))), tally)
                bury(self._client, self._address, tally)
        except StoreUnavailable as error:
            self.failure = error
            raise
        self.failure = None
        self._doubt = None
        return tally.verdicts()

    def stop_waiting(self) -> None:
        """Let a write that waits for a better time give up."""
        self._pause.set()

    def _send_all(self, groups: deque[list[Part]], tally: Tally) -> None:
        deadline, delay = self._clock() + self._patience, FIRST_DELAY
        while groups:
            group = groups.popleft()
            try:
                indices = self._current()
                self._leave_oldest(group, indices)
                group = self._unseen(group, indices, tally)
                again, reason = self._send(group, indices, tally, groups) if group else ([], None)
            except (TransportError, ApiError) as error:
                if not _passing(error):
                    raise
                self._unknown(error)
                again, reason = group, told(error, self._address.shown)
            if not again or reason is None:
                deadline, delay = self._clock() + self._patience, FIRST_DELAY
                continue
            groups.appendleft(again)
            if self._clock() + delay > deadline or self._pause.wait(delay):
                raise reason
            delay = min(2 * delay, LONGEST_DELAY)

    def _send(
        self, group: list[Part], indices: Generation, tally: Tally, groups: deque[list[Part]]
    ) -> tuple[list[Part], Exception | None]:
        """Send once; what is to be sent again, and why. What the server finds too much is put back in halves."""
        body = Body(group)
        try:
            answer = self._client.perform_request(
                "POST", self._path, params=self._params, body=body,
                headers={**NDJSON, "x-opaque-id": self._name, "content-length": str(body.length)}).body  # fmt: skip
        except ApiError as error:
            if error.status_code == 413:
                self._halve(group, tally, groups)
                return [], None
            if error.status_code == 400:
                self._sift(group, tally, groups, error)
                return [], None
            raise
        after = generation(self._client, self._stream)
        rolled = bool(indices) and indices[-1:] != after[-1:]
        again: list[Part] = []
        reason: Exception | None = None
        if "items" not in answer:
            for part in group:
                tally.add_stored(part, part.count)
        else:
            again, reason = self._judge(group, answer["items"], tally)
        if rolled:
            try:
                self._undouble(group, indices, after, tally)
            except (TransportError, ApiError) as error:
                self._unknown(error)  # these lines are in the tally: let the whole write be made again
                raise told(error, self._address.shown) from error
        self._indices = after  # not before: what is in doubt since then is counted from the older one
        return again, reason

    def _current(self) -> Generation:
        if self._unfinished:
            self._await_unfinished()
        if self._indices is None:
            self._indices = generation(self._client, self._stream)
        return self._indices

    def _unseen(self, group: list[Part], indices: Generation, tally: Tally) -> list[Part]:
        """The group without the lines that an older index holds."""
        if len(indices) < 2:
            return group
        duplicates: list[Part] = []
        for index in sorted({name for part in group for name in self._suspects(part, indices)}):
            asked = [part for part in group if index in self._suspects(part, indices)]
            group = [part for part in group if index not in self._suspects(part, indices)]
            for part, found in zip(asked, known(self._client, index, asked), strict=True):
                if any(found):
                    duplicates.append(part.only([at for at, there in enumerate(found) if there]))
                    part = part.only([at for at, there in enumerate(found) if not there])
                group += [part] if part.count else []
        for part in duplicates:  # only now, since a look-up that fails is made again as a whole
            tally.add_duplicate(part, part.count)
        return group

    def _suspects(self, part: Part, indices: Generation) -> list[str]:
        return suspects(indices, part.section.first, part.section.last, self._doubt)

    def _judge(self, group: list[Part], items: list[dict[str, dict[str, object]]], tally: Tally) -> tuple[
        list[Part], Exception | None
    ]:  # fmt: skip
        """Note the fate of each line; what is to be sent again, and why."""
        again: list[Part] = []
        reason: Exception | None = None
        start = 0
        for part in group:
            rows = [next(iter(item.values())) for item in items[start : start + part.count]]
            start += part.count
            fates = [fate(row) for row in rows]
            tally.add_stored(part, fates.count(DONE))
            tally.add_duplicate(part, fates.count(REPEATED))
            for position in (at for at, one in enumerate(fates) if one == NEVER):
                tally.reject(part, position, _reason(rows[position]))
            waiting = [at for at, one in enumerate(fates) if one == AGAIN]
            if waiting:
                again.append(part.only(waiting))
                reason = reason or self._unavailable(rows[waiting[0]])
        if start != len(items):
            raise StoreUnavailable(f"store {self._address.shown}: it answered for {len(items)} of {start} lines")
        return again, reason

    def _unavailable(self, row: dict[str, object]) -> StoreUnavailable:
        kind, text, index = cause(row)
        if kind == "index_not_found_exception":
            self._prepare()
        return StoreUnavailable(
            advice(f"store {self._address.shown}: {row.get('status')} {kind}: {text[:300]}", kind, index)
        )

    def _halve(self, group: list[Part], tally: Tally, groups: deque[list[Part]]) -> None:
        if len(group) > 1:
            middle = len(group) // 2
            groups.extendleft((group[middle:], group[:middle]))
        elif group[0].count > 1:
            first, second = group[0].halves()
            groups.extendleft(([second], [first]))
        else:
            tally.reject(group[0], 0, f"too large: the server refuses {group[0].size} bytes (413)")

    def _sift(self, group: list[Part], tally: Tally, groups: deque[list[Part]], error: ApiError) -> None:
        """The whole request was refused (400): without the lines that can't be right, or not at all."""
        kept = [sound(part, tally) for part in group]
        if sum(part.count for part in kept) == sum(part.count for part in group):
            raise StoreUnavailable(f"store {self._address.shown}: it refuses the whole request (400): "
                                   f"{cause(error.body)[1][:300]}") from error  # fmt: skip
        groups.appendleft([part for part in kept if part.count])

    def _unknown(self, error: Exception) -> None:
        """The request may have been carried out, or may still be."""
        log.debug("bulk request of unknown outcome: %s", error)
        with self._lock:
            if self._doubt is None and self._indices:
                self._doubt = self._indices[-1].name
            self._indices = None
            self._unfinished = True

    def _await_unfinished(self) -> None:
        """Return once the server works on no request of ours of which we have heard nothing."""
        deadline = self._clock() + self._patience
        while self._tasks():
            if self._clock() > deadline or self._pause.wait(0.1):
                raise StoreUnavailable(f"store {self._address.shown}: it still works on what it was sent before")
        self._unfinished = False

    def _tasks(self) -> bool:
        try:
            answer = self._client.perform_request(
                "GET", "/_tasks", headers={"accept": JSON["accept"]},
                params={"actions": "indices:data/write/bulk*", "group_by": "none"}).body  # fmt: skip
        except ApiError as error:
            if error.status_code in (400, 403, 404, 405):
                return False  # not ours to see: what is left is the look-up
            raise
        return any(task.get("headers", {}).get("X-Opaque-Id") == self._name for task in answer.get("tasks", ()))

    def _undouble(self, group: list[Part], before: Generation, after: Generation, tally: Tally) -> None:
        """The data stream rolled over around the request: remove from the new index what the old ones held."""
        newest = after[-1].name
        there = known(self._client, newest, group)
        for index in (one.name for one in before if one.name != newest):
            for part, new, old in zip(group, there, known(self._client, index, group), strict=True):
                twice = [at for at, both in enumerate(zip(new, old, strict=True)) if all(both)]
                if twice:
                    self._remove(newest, part.only(twice))
                    tally.found_twice(part, len(twice))
                for at in twice:
                    new[at] = False

    def _leave_oldest(self, group: list[Part], indices: Generation) -> None:
        """A request of unknown outcome may have met a rollover, and put into the new index what an old one held."""
        if self._doubt is None or not indices or indices[-1].name == self._doubt:
            return
        seen = [[False] * part.count for part in group]
        for index in (one.name for one in indices):
            for part, before, there in zip(group, seen, known(self._client, index, group), strict=True):
                twice = [at for at in range(part.count) if before[at] and there[at]]
                if twice:
                    self._remove(index, part.only(twice))
                before[:] = [old or new for old, new in zip(before, there, strict=True)]

    def _remove(self, index: str, part: Part) -> None:
        rows = b"".join([b'{"delete":{"_id":"%b"}}\n' % identity for identity in part.identities()])
        params = {name: value for name, value in self._params.items() if name == "refresh"}
        answer = self._client.perform_request("POST", f"/{index}/_bulk", params=params, headers=NDJSON, body=rows).body
        if answer["errors"]:
            raise StoreUnavailable(f"store {self._address.shown}: what a rollover has doubled can't be removed")


def _reason(row: dict[str, object]) -> str:
    if row.get("failure_store") == "used":
        return "the server put it into the failure store"
    kind, text, _ = cause(row)
    return f"{kind}: {text}"[:2000]


def _passing(error: Exception) -> bool:
    """Whether another try may go better by itself."""
    return not isinstance(error, ApiError) or error.status_code in (408, 429) or error.status_code >= 500
