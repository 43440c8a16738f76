import os
import signal
import threading
from collections.abc import Callable

import pytest

from towline.errors import EngineUnavailable, TowlineError
from towline.service import Group, signals

HASTE = 2.0
"""Seconds that who can end has for it on a busy machine."""


class Actor:
    """Runs until stopped; notes what happens in a list that several actors share."""

    def __init__(self, name: str, notes: list[str], action: Callable[[], None] | None = None) -> None:
        self.name, self.notes, self.action = name, notes, action
        self.go = threading.Event()
        self.running = threading.Event()

    def run(self) -> None:
        self.running.set()
        if self.action:
            self.action()
        self.go.wait(60)
        self.notes.append(f"{self.name} ended")

    def stop(self) -> None:
        self.notes.append(f"{self.name} told")
        self.go.set()


def fail(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def test_an_interrupt_stops_all_each_after_the_one_before_is_through() -> None:
    notes: list[str] = []
    group = Group({name: Actor(name, notes) for name in ("shipper", "indexer", "http")})
    group.interrupt()
    group.run()
    assert notes == [
        "shipper told", "shipper ended", "indexer told", "indexer ended", "http told", "http ended"]  # fmt: skip


def test_the_first_to_end_by_itself_stops_the_others() -> None:
    notes: list[str] = []
    short = Actor("short", notes)
    short.go.set()
    Group({"long": Actor("long", notes), "short": short}).run()
    assert notes.index("short ended") < notes.index("long told") < notes.index("long ended")


def test_an_actors_error_is_raised_as_it_is_after_all_have_stopped() -> None:
    notes: list[str] = []
    broken = Actor("broken", notes, fail(EngineUnavailable("no socket")))
    with pytest.raises(EngineUnavailable, match="no socket"):
        Group({"broken": broken, "other": Actor("other", notes)}).run()
    assert notes[-1] == "other ended"


def test_an_unexpected_exception_becomes_one_line_and_its_place_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    broken = Actor("indexer", [], fail(ZeroDivisionError("by zero")))
    with pytest.raises(TowlineError, match="indexer ended unexpectedly: ZeroDivisionError: by zero"):
        Group({"indexer": broken}).run()
    (record,) = [record for record in caplog.records if record.exc_info]
    assert isinstance(record.exc_info[1], ZeroDivisionError)  # type: ignore[index]


def test_an_error_while_stopping_does_not_keep_the_others_running() -> None:
    notes: list[str] = []
    first = Actor("first", notes)
    first.stop = fail(RuntimeError("no"))  # type: ignore[method-assign]
    group = Group({"first": first, "second": Actor("second", notes)}, haste=HASTE)
    group.interrupt()
    group.interrupt()
    group.run()
    assert "second ended" in notes
    first.go.set()


def test_a_second_interrupt_leaves_behind_who_does_not_end() -> None:
    notes: list[str] = []
    stuck = Actor("stuck", notes)
    stuck.stop = lambda: notes.append("stuck told")  # type: ignore[method-assign]
    group = Group({"stuck": stuck, "other": Actor("other", notes)}, haste=HASTE)
    group.interrupt()
    group.interrupt()
    group.run()
    assert notes == ["stuck told", "other told", "other ended"]
    assert group.left == ["stuck"]
    stuck.go.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_group_and_handlers_are_put_back(number: signal.Signals) -> None:
    notes: list[str] = []
    actor = Actor("actor", notes)
    before = signal.getsignal(number)
    killer = threading.Thread(target=lambda: actor.running.wait(60) and os.kill(os.getpid(), number))
    group = Group({"actor": actor})
    with signals(group):
        killer.start()
        group.run()
    killer.join()
    assert notes == ["actor told", "actor ended"]
    assert signal.getsignal(number) is before
