"""Writing to one data stream: bulk requests, a fate for each line, and no line twice whatever happens in between."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from towline.errors import StoreUnavailable
from towline.stores.es_address import Address
from towline.stores.es_ask import NDJSON
from towline.stores.es_bulk import (
    AGAIN,
    DONE,
    NEVER,
    REPEATED,
    Body,
    Part,
    Tally,
    fate,
    requests,
    sound,
)  # fmt: skip
from towline.stores.es_doubt import Doubts
from towline.stores.es_errors import advice, cause, told
from towline.stores.es_indices import Generation, from_on, generation, held, identities_of, keep_oldest, spread
from towline.stores.es_older import Older
from towline.stores.es_size import RequestSize

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds within one `write` for what may go better on another try; then the caller hears why."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
FRESH = 1.0
"""Seconds for which the indices are taken as known while answers name the one that takes the writes. A request that
was under way for longer, while its lines were handed to another indexer and the stream rolled over, asks."""
_FILTER = "errors,items.*._index,items.*.status,items.*.error,items.*.failure_store"


class Lane:
    """One data stream; one call at a time. `prepare` has its template looked after before the next write.

    `pause` is set where a write that waits for a better time has to give up.
    """

    def __init__(
        self, client: Elasticsearch, address: Address, stream: str, prepare: Callable[[], None], pause: threading.Event,
        *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.stream = stream
        self._client, self._address = client, address
        self._prepare, self._patience, self._clock, self._pause = prepare, patience, clock, pause
        self._refresh = address.layout.refresh == "now"
        self._older, self._doubts = Older(client, address, clock), Doubts(clock)
        self._indices: Generation | None = None
        """What was there last; None where that has to be asked."""
        self._asked = 0.0
        self._size = RequestSize(address.timeout, clock)

    def write(self, parts: list[Part], tally: Tally) -> None:
        """Send all lines of these parts, and note in the tally what became of each. Errors of the client go through."""
        self._send_all(deque(requests(parts, self._size.most)), tally)

    def untouched(self) -> bool:
        """Whether nothing can have been stored: the stream is not there, and no request went without an answer."""
        return not self._doubts and not generation(self._client, self.stream)

    def settle(self) -> None:
        """Look again for what requests without an answer may have doubled."""
        if self._doubts:
            self._doubts.settle(generation(self._client, self.stream), self._keep_oldest)

    def _send_all(self, groups: deque[list[Part]], tally: Tally) -> None:
        deadline, delay = self._clock() + self._patience, FIRST_DELAY
        while groups:
            group = groups.popleft()
            try:
                indices = self._settled()
                group = self._unseen(group, indices, tally)
                again, reason = self._send(group, indices, tally, groups) if group else ([], None)
            except (TransportError, ApiError, StoreUnavailable) as error:
                self._indices = None
                if not _passing(error):
                    raise
                again, reason = group, told(error, self._address.shown)
            if again:  # perhaps in smaller requests, now
                again, *rest = requests(again, self._size.most)
                groups.extendleft(reversed(rest))
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
        try:
            answer = self._timed(group)
        except ApiError as error:
            if error.status_code == 413:
                self._halve(group, tally, groups)
                return [], None
            if error.status_code == 400:
                self._sift(group, tally, groups, error)
                return [], None
            if error.status_code >= 500 or error.status_code == 408:
                self._doubt(group, indices, tally)
            raise
        except TransportError:
            self._doubt(group, indices, tally)
            raise
        try:
            removed = self._undoubled(group, indices, _index_of(answer))
        except (TransportError, ApiError, StoreUnavailable):
            self._doubt(group, indices, tally)  # not told as stored before it is known to be there once
            raise
        verdict = self._judge(group, answer, tally)
        for part, positions in spread(group, removed):
            tally.found_twice(part, len(positions))
        return verdict

    def _timed(self, group: list[Part]) -> dict[str, Any]:
        """Send once, and learn from it how much is sent from now on."""
        size = sum(part.size for part in group)
        self._size.begins()
        try:
            answer = self._bulk(group)
        except TransportError:
            self._size.failed(size)
            raise
        self._size.ended(size)
        return answer

    def _bulk(self, group: list[Part]) -> dict[str, Any]:
        body = Body(group)
        params = {
            "filter_path": _FILTER,
            "require_data_stream": "true",
            **({"refresh": "true"} if self._refresh else {}),
        }
        headers = {**NDJSON, "content-length": str(body.length)}
        answer: dict[str, Any] = self._client.perform_request(
            "POST", f"/{self.stream}/_bulk", params=params, body=body, headers=headers).body  # fmt: skip
        return answer

    def _doubt(self, group: list[Part], indices: Generation, tally: Tally) -> None:
        """It may have been carried out, or may still be."""
        self._doubts.add(group, indices)
        tally.unsure.update(part.place for part in group)

    def _settled(self) -> Generation:
        """The indices of now, without doubles that were found since the last request."""
        indices = self._ask() if self._indices is None else self._indices
        self._doubts.settle(indices, self._keep_oldest)
        return indices

    def _ask(self) -> Generation:
        self._indices, self._asked = generation(self._client, self.stream), self._clock()
        return self._indices

    def _keep_oldest(self, names: Sequence[str], identities: Sequence[bytes]) -> list[bool]:
        removed = keep_oldest(self._client, names, identities, self._refresh)
        if any(removed):
            log.info("%d lines were stored twice around a rollover: removed from the newer index", sum(removed))
        return removed

    def _unseen(self, group: list[Part], indices: Generation, tally: Tally) -> list[Part]:
        """The group without the lines that an older index holds."""
        suspects = self._older.suspects(indices, [part.section for part in group])
        if not any(suspects):
            return group
        repeats: list[Part] = []
        for index in sorted({name for names in suspects for name in names}):
            asked = [part for part, names in zip(group, suspects, strict=True) if index in names]
            there = held(self._client, index, identities_of(asked))
            found = {id(part): positions for part, positions in spread(asked, there) if positions}
            repeats += [part.only(found[id(part)]) for part in asked if id(part) in found]
            group = [part.without(found.get(id(part), ())) for part in group]
        if repeats:  # a request that nobody waited for may have brought them to a newer index as well
            self._keep_oldest([one.name for one in indices], identities_of(repeats))
        for part in repeats:  # only now, since a look-up that fails is made again as a whole
            tally.add_duplicate(part, part.count)
        return [part for part in group if part.count]

    def _undoubled(self, group: list[Part], before: Generation, index: str) -> list[bool]:
        """Had the stream rolled over when the request came, the newer index may have taken what an older one held.

        For each line whether its newer copy had to be removed; empty where nothing rolled over: it all went to `index`,
        which was the newest before. A request asks where that is not so, and now and then, as older ones may have gone.
        """
        known = bool(before) and index == before[-1].name and self._clock() < self._asked + FRESH
        after = before if known else self._ask()
        self._doubts.answered()
        if before[-1:] == after[-1:] or not before:
            return []
        return self._keep_oldest(from_on(after, before[-1].name), identities_of(group))

    def _judge(
        self, group: list[Part], answer: dict[str, Any], tally: Tally
    ) -> tuple[list[Part], Exception | None]:  # fmt: skip
        """Note the fate of each line; what is to be sent again, and why."""
        if "items" not in answer:
            for part in group:
                tally.add_stored(part, part.count)
            return [], None
        items: list[dict[str, dict[str, object]]] = answer["items"]
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


def _index_of(answer: dict[str, Any]) -> str:
    """The index that all lines went to; "" where the answer does not name one for all."""
    names = {row.get("_index", "") for item in answer.get("items", ()) for row in item.values()}
    return str(names.pop()) if len(names) == 1 else str(answer.get("index", ""))


def _reason(row: dict[str, object]) -> str:
    if row.get("failure_store") == "used":
        return "the server put it into the failure store"
    kind, text, _ = cause(row)
    return f"{kind}: {text}"[:2000]


def _passing(error: Exception) -> bool:
    """Whether another try may go better by itself."""
    if isinstance(error, ApiError) and error.status_code in (400, 404):
        return cause(error.body)[0] in ("index_closed_exception", "index_not_found_exception")  # an older one, just now
    return not isinstance(error, ApiError) or error.status_code in (408, 429) or error.status_code >= 500
