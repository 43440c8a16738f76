"""A container's log through the engine's API.

Following is quick but not safe: a follower that lags while the log is rotated twice skips whole files, and nothing
says so. A snapshot (no follow) is safe but ends. So snapshots catch up, and a follower is opened only where little is
left to catch up with; each answer overlaps what is known, and the overlap proves that nothing is missing between.

    known nothing ── just started? ──▶ START follows from the first line on
                  └─ else ──▶ BEGIN snapshot of all ─┐
    known position ─▶ TAIL of the log, few lines, and follow ◀─┐ few lines were new
                        │ the position is not among them       │
                        └─▶ TAIL snapshots, 8 times longer each time
                              │ still not
                              └─▶ END, the last entry ─▶ ALL snapshot ── not there ─▶ gap

`since` is not used: engines up to 23 would leave out lines that the clock, set back, stamped before it, and every
engine reads the whole log for it, where a tail costs what it holds.

An answer's end looks the same whether the log ended or the connection broke. So no end is believed by itself: a TAIL
follows it, and that the position is gone is believed only where the same ALL answer went as far as the END before it.

An answer is read to its end before the next is asked for, or, where a follower is left, after a moment: while an answer
is open, Docker 20.10 hands out what it unpacked of a compressed file to others by that file's name, also when rotation
has passed the name to the next file (moby, daemon/logger/loggerutils/logfile.go, refCounter): whole files are missing.

Where a log is written so quickly that it is rotated every few seconds, no follower is trusted at all: the engine's own
lag may be long enough then (api_pace.py), and snapshots are taken until it has calmed down.

A follower also repeats entries when the log is rotated (seen with 20.10). So where a stream's stamps do not grow in
what is followed, the log itself is asked, by a TAIL snapshot; snapshots are taken as they are.
"""

import random
import time
from calendar import timegm
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Any

from shipper.entries import Entries, Position
from shipper.frames import Demultiplexer, EngineError, FrameError
from shipper.resume import Overlap, Runs, head
from shipper.sources.api_connection import FULL, Answered, ConnectionBroken, LogConnection, endpoint, request
from shipper.sources.api_pace import PER_ENTRY, Pace
from shipper.wake import Wake

FEW = 2000
"""New entries in a snapshot that a follower may safely be left to catch up with."""
FIRST_TAIL = 200
ROTATING_TAIL = FIRST_TAIL // 2
"""What a follower of a log that is rotated begins with: less than a socket holds, so that one that is full has given
lines that are newer."""
LEAVE = 0.1
"""Seconds in which the engine has closed the files of a follower that was left."""
POLL = 0.1
"""Seconds between snapshots of a log that is rotated too quickly to be followed."""
LONGEST_TAIL = 2 << 20
ANCHOR_WAIT = 5.0
"""Seconds after which a quiet follower has sent its tail, and the position was not among it."""
ANSWER_WAIT = 60.0
FULL_FRAMES = 200
"""The engine writes each entry by itself, and a unix socket holds about 280 such writes, however small."""
STOP_WAIT = 5.0
"""Seconds of quiet after which a stopped container's follower is no longer waited for."""
AUDIT_EVERY = 300.0
PAUSE = 10.0
"""Seconds without a read after which a follower with a full socket may have skipped files."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0


class Step(Enum):
    """What is asked of the engine next."""

    START = auto()
    BEGIN = auto()
    TAIL = auto()
    END = auto()
    ALL = auto()


@dataclass(frozen=True)
class Clocks:
    """Seconds of a clock that never jumps, the wall clock, and a random number in [0, 1)."""

    steady: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


class ApiSource:
    """The log of one container from `position` on (None: from its beginning); see shipper.sources.Source.

    running: whether it runs now; `started` and `stopped` say what changes.
    tty: None where that is not known; the stream tells.
    fresh: the container has just started: its log is followed at once, without a snapshot before.
    The first request is sent by the constructor, since a --rm container may be gone in milliseconds; an open log
    outlives its removal. Raises UsageError for an engine URL that can't be one.
    """

    kind = "api"

    def __init__(
        self,
        engine_url: str,
        container_id: str,
        position: Position | None = None,
        *,
        running: bool,
        tty: bool | None = None,
        fresh: bool = False,
        clocks: Clocks = Clocks(),
    ) -> None:
        self._engine = endpoint(engine_url)
        self._container = container_id
        self.tty = tty
        self.rotates_at: int | None = None
        self._pace = Pace(clocks.steady)
        self._clocks = clocks
        self._running = running
        self._runs = Runs(position)
        self._lost = False
        """The position is nowhere in the log, which has to be read from its beginning."""
        self._gap = ""
        self._step = Step.TAIL if position else Step.START if fresh and running else Step.BEGIN
        self._tail = FIRST_TAIL
        self._total: int | None = None
        """Entries in the log, as far as that is known; a tail of more than these is the whole log."""
        self._doubted = False
        """What a follower brought is looked up in a snapshot."""
        self._useless = False
        """The position can't be in this answer, whose rest is not looked at."""
        self._accept = ""
        """The gap to declare where a TAIL proves that the position is gone ("": look for it by snapshots)."""
        self._empty = 0
        self._end: bytes | None = None
        """Stamp of the log's last entry, asked for before ALL (None: there was none); emptied when ALL comes by it."""
        self._saw_end = False
        """A follower has seen the log's end: nothing is lost where the container is gone now."""
        self._unfinished: Demultiplexer | None = None
        self._connection: LogConnection | None = None
        self._following = False
        self._frames = Demultiplexer(tty)
        self._overlap: Overlap | None = None
        self._new = 0
        self._delay = FIRST_DELAY
        now = clocks.steady()
        self._retry_at = self._opened_at = self._heard_at = self._read_at = now
        self._audit_after = AUDIT_EVERY
        self._finished = False
        self._refused = ""
        self._closed = False
        self._stale = False
        """The container stopped after the request was sent."""
        self.eager = False
        """The last read came back full, or the next step is due: read again soon."""
        self.problem = ""
        """Why nothing can be read right now ("" where all is well)."""
        self.reopened = 0
        """Connections that were given up because they broke or were torn."""
        self._open()

    @property
    def finished(self) -> bool:
        return self._finished

    @property
    def refused(self) -> str:
        return self._refused

    @property
    def position(self) -> Position | None:
        """Behind the last entry that `read` gave."""
        return self._runs.position

    def read(self, limit: int) -> Entries | None:
        """See Source. None also while the engine is away (`problem`) or while the position is looked for."""
        self.eager = False
        now, before = self._clocks.steady(), self._read_at
        self._read_at = now
        if self._finished or self._refused or self._closed or (not self._connection and not self._open()):
            return None
        assert self._connection
        try:
            data = self._connection.read(limit)
        except ConnectionBroken as error:
            self._retry(str(error))
        except Answered as answer:
            return self._answered(answer)
        else:
            if data == b"":
                return self._ended()
            if data is not None:
                return self._arrived(data, paused=before > self._opened_at and now - before > PAUSE)
            self._watch(now)
        return None

    def stopped(self) -> None:
        self._running = False
        self._stale = True
        self._heard_at = self._retry_at = self._clocks.steady()

    def started(self) -> None:
        self._running = True
        self._finished = False
        self._retry_at = self._clocks.steady()
        self._delay = FIRST_DELAY
        if self._known is None and not self._connection:
            self._step = Step.START

    def rest(self, wake: Wake[Any], key: Any) -> bool:
        """See Source.rest. Where an answer or its end is awaited, time counts, which the socket does not tell."""
        following = self._following and self._running and not (self._overlap and not self._overlap.finish())
        connection = self._connection
        return bool(following and connection and connection.answered and wake.socket(connection.fileno(), key))

    def stirred(self) -> None:
        self._read_at = self._clocks.steady()

    def fetch(self) -> None:
        """See Source.fetch. The engine is woken by each socket that is emptied: once, where that happens to many."""
        if self._connection:
            self._connection.fetch()

    def rewind(self) -> bool:
        return False

    def close(self) -> None:
        self._closed = True
        self._drop()

    @property
    def _known(self) -> Position | None:
        return None if self._lost else self._runs.position

    # asking

    def _open(self) -> bool:
        now = self._clocks.steady()
        if now < self._retry_at:
            return False
        self._frames = Demultiplexer(self.tty)
        self._stale = False
        self._new = 0
        self._useless = False
        self._opened_at = self._heard_at = now
        self._audit_after = AUDIT_EVERY * (0.75 + self._clocks.chance() / 2)
        try:
            self._connection = LogConnection(self._engine, self._request())
        except ConnectionBroken as error:
            self._retry(str(error))
            return False
        return True

    def _request(self) -> bytes:
        known = self._known
        if known is None and self._step not in (Step.START, Step.BEGIN) and not self._accept:
            self._step = Step.START if self._running else Step.BEGIN
        step = self._step
        whole = step is Step.ALL or (self._total is not None and self._tail >= 2 * self._total)
        self._overlap = Overlap(known, whole=whole) if known and step in (Step.TAIL, Step.ALL) else None
        if step in (Step.START, Step.BEGIN):
            self._total = 0
        self._following = self._running and (step is Step.START or self._tail_is_safe())
        query: dict[str, str | int] = {"follow": int(self._following)}
        if step is Step.TAIL:
            query["tail"] = self._tail
        if step is Step.END:
            query["tail"], self._end = 1, None
        return request(self._container, **query)

    def _tail_is_safe(self) -> bool:
        most = 2 * FEW if self.rotates_at is None else ROTATING_TAIL
        return self._step is Step.TAIL and self._tail <= most and not self._doubted and not self._is_quick()

    def _is_quick(self) -> bool:
        return self.rotates_at is not None and self._pace.is_quick(self.rotates_at)

    def _go(self, step: Step, tail: int = FIRST_TAIL) -> None:
        """Ask this next, at once."""
        self._drop()
        self._step, self._tail = step, tail
        self.eager = True

    def _leave(self, step: Step = Step.TAIL, tail: int = FIRST_TAIL) -> None:
        """Ask this instead of following."""
        self._go(step, tail)
        if self.rotates_at is not None:
            self.eager = False
            self._retry_at = self._clocks.steady() + LEAVE

    def _retry(self, problem: str) -> None:
        """Something broke: ask again after a while."""
        self.problem = problem
        self.reopened += 1
        self._saw_end = False
        self._wait(Step.TAIL if self._known or self._accept else self._step)

    def _wait(self, step: Step) -> None:
        """Ask this after a while, which grows until something arrives."""
        self._go(step)
        self.eager = False
        self._retry_at = self._clocks.steady() + self._delay * (0.5 + self._clocks.chance())
        self._delay = min(LONGEST_DELAY, 2 * self._delay)

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    # what comes

    def _arrived(self, data: bytes, paused: bool) -> Entries | None:
        self._heard_at = self._clocks.steady()
        full = len(data) >= FULL or data.count(b"\n") >= FULL_FRAMES
        if paused and full and self._following and self._running:
            self._leave()  # the engine waited for us, and may have skipped files meanwhile
            return None
        self.eager = full
        entries = self._cut(data)
        if full and self.rotates_at is not None and self._connection and self._is_live():
            # The engine waits for us to take more. Should the log rotate twice until then, it skips whole files.
            self._doubted = True
            self._leave()
        return entries

    def _is_live(self) -> bool:
        """Whether a follower has given what was there before it, so that a full socket means that we lag."""
        if not self._following or self._overlap is None:
            return self._following
        return self._overlap.skipped + self._new >= self._tail

    def _cut(self, data: bytes) -> Entries | None:
        try:
            entries = self._frames.feed(data)
        except EngineError as error:
            self._accept = "damaged"
            self._gap = self._gap if self._known else "damaged"
            self._retry(f"the engine can't read on in the log of {self._container[:12]}: {error}")
            return None
        except FrameError as error:
            self._retry(f"the engine's log stream of {self._container[:12]} is torn: {error}")
            return None
        return self._pass(entries) if entries else None

    def _pass(self, entries: Entries) -> Entries | None:
        if self._step is Step.END:
            self._end = entries.stamps[-1]
            return None
        if self._step is Step.ALL and self._end in entries.stamps:
            self._end = b""
        overlap = self._overlap
        new = overlap.feed(entries) if overlap and not self._useless else entries
        if self._useless or (overlap and not overlap.found and self._missed(overlap)):
            return None
        new = self._believed(new) if new and self._paced(new) else None
        if not new:
            return None
        if overlap and overlap.gone and self._accept and new.gap:
            new = replace(new, gap=self._accept)
        if self._gap:
            new, self._gap = replace(new, gap=self._gap), ""
        self._new += len(new)
        self._total = None if self._total is None else self._total + len(new)
        self._lost, self._saw_end, self._accept, self.problem = False, False, "", ""
        self._delay, self._empty = FIRST_DELAY, 0
        return self._runs.follow(new)

    def _missed(self, overlap: Overlap) -> bool:
        """Whether this answer can't hold the position, and another one is asked for (when it has ended)."""
        if self._step is not Step.TAIL or self._accept:
            return False
        if not overlap.gone and not (overlap.uncertain and self._following) and overlap.skipped < self._tail:
            return False
        if self._following:
            self._look_further()
        else:
            self._useless = True
        return True

    def _look_further(self) -> None:
        ask = self._leave if self._following and self._connection else self._go
        if self._tail >= LONGEST_TAIL:
            ask(Step.END)
        else:
            ask(Step.TAIL, max(2 * FEW, 8 * self._tail))

    def _paced(self, new: Entries) -> bool:
        """False where so much at once makes a follower doubtful: the same is asked for again, as a snapshot."""
        if self.rotates_at is None:
            return True
        self._pace.took(new.size + PER_ENTRY * len(new), self.rotates_at)
        if not self._following or not self._is_quick() or not self._running:
            return True
        self._leave(Step.TAIL if self._known else Step.BEGIN)
        return False

    def _believed(self, entries: Entries) -> Entries | None:
        """The entries up to where the follower seems to repeat itself."""
        count = self._runs.grows(entries) if self._following else len(entries)
        if count == len(entries):
            return entries
        self._doubted = True
        self._leave()
        return head(entries, count) if count else None

    # how answers end

    def _ended(self) -> Entries | None:
        entries = self._cut(b"")  # a stream's error may stand behind entries that were given already
        if not self._connection:
            return entries
        if self._frames.torn:
            self._retry(f"the engine's answer about {self._container[:12]} was cut short")
            return None
        # What is unfinished may have been cut by a connection that broke: only a log at rest tells.
        rest = None if self._running or self._following else self._frames.finish()
        entries = self._pass(rest) if rest else None
        if self._connection:
            self._decide()
        return entries

    def _decide(self) -> None:
        """What follows an answer's end."""
        if self._step is Step.END:
            self._go(Step.ALL)
        elif self._useless:
            self._look_further()
        elif self._following:
            self._saw_end = self._overlap is None or self._overlap.finish()
            self._unfinished = self._frames
            self._after_follow()
        elif self._overlap is None:
            self._after_beginning()
        elif self._step is Step.TAIL:
            self._after_tail(self._overlap)
        elif self._overlap.finish():
            self._total = self._overlap.skipped + self._new
            self._go_tail()
        else:
            self._not_found(self._overlap)

    def _after_follow(self) -> None:
        step = Step.TAIL if self._known else Step.START
        if self._overlap and not self._overlap.finish():
            self._look_further()
        elif self._running and not self._new:
            self._wait(step)
        else:
            self._go(step)  # at once: followers may miss the last entry before the end, and a --rm container goes

    def _after_beginning(self) -> None:
        if self._new:
            self._go_tail()
        elif self._running:
            self._go(Step.START)
        else:
            self._empty += 1
            self._finish() if self._saw_end or self._empty > 1 else self._go(Step.BEGIN)

    def _after_tail(self, overlap: Overlap) -> None:
        if overlap.uncertain and overlap.skipped < self._tail:
            self._total = overlap.skipped
            self._go(Step.TAIL, max(2 * FEW, 2 * self._total))
        elif not overlap.finish():
            self._look_further()
        elif self._new or self._running:
            self._go_tail()
        else:
            self._finish()

    def _go_tail(self) -> None:
        """Catch up with what came meanwhile: about as much as the last tail brought, or less."""
        self._doubted = False
        if self._is_quick() and self._running:
            self._go(Step.TAIL, 2 * self._new + FIRST_TAIL)
            self.eager = False
            self._retry_at = self._clocks.steady() + POLL
            return
        enough = 2 * FEW if self.rotates_at is None else ROTATING_TAIL
        much = self._step is Step.TAIL and self._new >= enough // 2
        self._go(Step.TAIL, 4 * self._new + 1 if much and self._running else enough)

    def _not_found(self, overlap: Overlap) -> None:
        """The whole log was read; the position is not in it, and nothing there is certainly new."""
        if self._end != (b"" if overlap.last else None):
            self._retry(f"the engine's answer about {self._container[:12]} was cut short")
            return
        self._gap = "truncated" if overlap.last is None else "rotated"
        if overlap.last is None and not self._running:
            self._lost = True
            self._finish()
        elif overlap.last is None or self._clocks.wall() < seconds(overlap.last.high):
            self._lost = True
            self._go(Step.START if overlap.last is None else Step.BEGIN)
        else:
            self._runs = Runs(overlap.last)
            self._go(Step.TAIL)

    def _answered(self, answer: Answered) -> Entries | None:
        if answer.status in (404, 409):
            return self._removed()
        if answer.status == 501 or "does not support reading" in answer.text:
            self._refused = answer.text or "the log driver does not support reading"
            self._drop()
        else:
            self._retry(f"engine at {self._engine.url}: {answer}")
        return None

    def _removed(self) -> Entries | None:
        """Nothing is lost where a follower had seen the end of the log. One that saw an end and no line may have been
        opened on a log that was just being deleted: that counts, too, though the container may have been silent."""
        self._drop()
        unread = self._known is None and not self._frames_left()
        if not self._saw_end or unread:
            self._refused = "removed: no line of it was read" if unread else "removed"
            return None
        self._finished = True
        self._overlap = None
        rest = self._unfinished.finish() if self._unfinished else None
        return self._pass(rest) if rest else None

    def _frames_left(self) -> bool:
        return self._unfinished is not None and bool(self._unfinished.rest)

    def _finish(self) -> None:
        if self._stale:  # it ran once more since this was asked: the answer may be older than those lines
            self._go(Step.TAIL if self._known else Step.BEGIN)
            return
        self._drop()
        self._finished = True
        self._delay = FIRST_DELAY

    def _watch(self, now: float) -> None:
        """Nothing came: is that plausible?"""
        assert self._connection
        quiet = now - self._heard_at
        if not self._connection.answered:
            if quiet > ANSWER_WAIT:
                self._retry(f"engine at {self._engine.url} did not answer within {ANSWER_WAIT:.0f} s")
            return
        self.problem = ""
        if not self._following:
            return
        if self._overlap and not self._overlap.finish() and quiet > ANCHOR_WAIT and not self._accept:
            self._look_further()
        elif quiet > self._audit_after or (not self._running and quiet > STOP_WAIT):
            self._leave()  # a log truncated from outside stalls followers for good


def seconds(stamp: bytes) -> int:
    """Whole seconds since 1970 of a stamp."""
    return timegm(datetime.fromisoformat(stamp[:19].decode()).timetuple())
