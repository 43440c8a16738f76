"""Lines taken through what labels ask for, by the shipper's own code, with a look at what each step does to them."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import orjson

from shipper.entries import STDOUT, Entries
from shipper.lines import LineMaker, Lines, State
from shipper.ruled import Ruled, ruled_of
from shipper.rules.chain import Chain, Timed, Values
from shipper.rules.rows import Rows
from towline.batch import ORIGIN_MARK

JOINING = "joining"
"""What takes the time beside the steps: lines become columns, are numbered, joined, and written."""


@dataclass(frozen=True)
class Tried:
    """One event: `number` of its first line (from 1), how many `lines` it was joined from, and their text `before`.

    document: what would be stored, without what all lines of a container share; None where it was dropped, by `step`,
    for the reason `dropped`.
    """

    number: int
    lines: int
    stream: str
    before: str
    document: dict[str, Any] | None
    dropped: str = ""
    step: str = ""


class Trial:
    """What `values` (shipper.rules.table) make of lines. `seconds`: what each step took so far."""

    def __init__(self, values: Values, service: str, max_line: int) -> None:
        asked = ruled_of(values, service, max_line)
        self._watched = _Watched(asked.chain if asked else None, service)
        self._maker = LineMaker(
            "try", max_line, State(sequence=1), Ruled(self._watched, asked.joining if asked else None, max_line)
        )
        self._spent = 0.0
        self.lines = 0
        self._again = partial(Trial, values, service, max_line)

    def of(self, entries: Iterable[Entries]) -> Iterator[Tried]:
        """Each event in turn, as soon as it is complete. At most once."""
        warm = False
        for some in entries:
            if not warm:
                self._again()._timed(some)  # what only the first lines cost says nothing about the others
                warm = True
            yield from self._made(self._timed(some))
        yield from self._made(self._timed(None))

    @property
    def seconds(self) -> dict[str, float]:
        taken = self._watched.seconds
        return {JOINING: max(0.0, self._spent - sum(taken.values())), **taken}

    def _timed(self, entries: Entries | None) -> Lines | None:
        began = time.perf_counter()
        try:
            return self._maker.flush() if entries is None else self._maker.feed(entries)
        finally:
            self._spent += time.perf_counter() - began
            self.lines = self._maker.state.sequence - 1

    def _made(self, lines: Lines | None) -> Iterator[Tried]:
        documents = _documents(lines.docs) if lines else {}
        for seen in self._watched.taken():
            document = documents.get(seen.identity)
            yield Tried(seen.number, seen.text.count("\n") + 1, seen.stream, seen.text, document,
                        seen.reason if document is None else "", seen.step if document is None else "")  # fmt: skip


@dataclass
class _Seen:
    """An event before the first step, and who dropped it why."""

    identity: bytes
    number: int
    stream: str
    text: str
    reason: str = ""
    step: str = ""


@dataclass
class _Watched(Chain):
    """A chain that notes what its steps do."""

    chain: Chain | None
    service: str
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.chain.steps if self.chain else (), self.service)
        self._parts = [Chain((step,), self.service) for step in self.steps]
        self._seen: dict[bytes, _Seen] = {}

    def apply(self, rows: Rows) -> list[Timed]:
        columns = zip(rows.ids, rows.sequences, rows.streams, rows.texts, strict=True)
        for identity, sequence, stream, text in columns:
            self._seen[identity] = _Seen(identity, sequence - 1, stream.decode(), text)
        return [timed for part in self._parts for timed in self._through(part, rows)]

    def taken(self) -> list[_Seen]:
        """What came through since the last time."""
        seen, self._seen = self._seen, {}
        return list(seen.values())

    def _through(self, part: Chain, rows: Rows) -> list[Timed]:
        counts, columns = rows.dropped, [each.name for each in fields(rows)]
        rows.dropped = Counter()
        noted = _Noted(**{name: getattr(rows, name) for name in columns})
        taken = part.apply(noted)
        for name in columns:
            setattr(rows, name, getattr(noted, name))
        rows.dropped += counts
        for identity, reason in noted.reasons.items():
            self._seen[identity].reason, self._seen[identity].step = reason, part.steps[0].name
        for timed in taken:
            self.seconds[timed.name] = self.seconds.get(timed.name, 0.0) + timed.seconds
        return taken


@dataclass
class _Noted(Rows):
    """Rows that know why each one was dropped."""

    reasons: dict[bytes, str] = field(default_factory=dict)

    def drop(self, reason: str, indexes: Collection[int]) -> None:
        self.reasons |= {self.ids[index]: reason for index in indexes}
        super().drop(reason, indexes)


def entries_of(chunks: Iterable[bytes], clock: Any = time.time_ns) -> Iterator[Entries]:
    """Bytes of a file as if a container wrote them to stdout just now, a line after the other."""
    rest, last = b"", 0
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            last = max(last + 1, clock())
            yield _entries(lines, last)
            last += len(lines)
    if rest:
        yield _entries([rest], max(last + 1, clock()))


def _entries(lines: list[bytes], first: int) -> Entries:
    texts = [orjson.dumps(line.decode("utf-8", "replace"))[1:-1] for line in lines]
    stamps = [_stamp(first + index) for index in range(len(lines))]
    return Entries(stamps, texts, STDOUT, size=sum(map(len, lines)))


def _stamp(nanoseconds: int) -> bytes:
    whole, fraction = divmod(nanoseconds, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:09d}Z".encode()


def _documents(docs: bytes) -> dict[bytes, dict[str, Any]]:
    """The documents of bulk pairs by their identity."""
    lines = docs.split(b"\n")[:-1]
    return {
        orjson.loads(action)["create"]["_id"].encode(): orjson.loads(document.replace(ORIGIN_MARK, b""))
        for action, document in zip(lines[::2], lines[1::2], strict=True)
    }
