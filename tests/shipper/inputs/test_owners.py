"""Whose lines come in: told by the watcher, else asked of the engine, and waited for within bounds."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from input_world import until

from shipper.container import Container, Node, described, provisional
from shipper.inputs import owners
from shipper.inputs.owners import GONE, HOLD, Owners
from towline.errors import EngineUnavailable

ID = "ab" * 32
FOUND = described({"Id": ID, "Name": "/web", "HostConfig": {"LogConfig": {"Type": "syslog"}}}, Node("n"))


class Engine:
    """Answers as a test wants; the watcher has told nothing but `told`."""

    def __init__(self) -> None:
        self.answers: dict[str, Container] = {}
        self.told: list[Container] = []
        self.asked: list[str] = []
        self.away = False
        self.may = threading.Event()
        self.may.set()

    def ask(self, meant: str) -> Container | None:
        assert self.may.wait(60)
        self.asked.append(meant)
        if self.away:
            raise EngineUnavailable("away")
        return self.answers.get(meant)

    def container(self, container_id: str) -> Container | None:
        return next((each for each in self.told if each.id == container_id), None)

    def tagged(self, tag: str) -> Sequence[Container]:
        return [each for each in self.told if each.tag == tag]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def own(engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owners]:
    monkeypatch.setattr(owners, "AGAIN", 0.01)
    made = Owners(engine, engine.ask, lambda labels: "pending" not in labels, clock)
    yield made
    made.close()


def test_what_the_watcher_has_told_is_settled_without_a_question(own: Owners, engine: Engine) -> None:
    engine.told.append(FOUND)
    assert own.settled(ID)
    assert own.settled(ID[:12])
    assert list(own.of(ID[:12])) == [FOUND]
    assert not engine.asked


def test_a_container_that_was_not_told_yet_is_asked_for_once(own: Owners, engine: Engine) -> None:
    engine.answers[ID] = FOUND
    engine.may.clear()
    assert not own.settled(ID)
    assert not own.settled(ID)
    engine.may.set()
    until(lambda: own.settled(ID))
    assert list(own.of(ID)) == [FOUND]
    assert engine.asked == [ID]
    assert own.asked(ID) == FOUND
    assert own.asked("cd" * 32) is None


def test_one_that_is_gone_may_still_be_told(own: Owners, engine: Engine, clock: Clock) -> None:
    assert not own.settled(ID)
    until(lambda: engine.asked and not own._pending)
    clock.now = GONE - 0.01
    assert not own.settled(ID)
    clock.now = GONE
    assert own.settled(ID)
    assert not own.of(ID)
    engine.told.append(FOUND)
    assert list(own.of(ID)) == [FOUND]


def test_a_silent_engine_is_waited_for_though_not_for_ever_and_not_by_each(
    own: Owners, engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    engine.away = True
    assert not own.settled(ID)
    until(lambda: own._silent is not None)
    clock.now = HOLD - 0.01
    assert not own.settled(ID)
    assert "and not what labels say" not in caplog.text
    clock.now = HOLD
    assert own.settled(ID)
    assert own.settled("cd" * 32)
    assert caplog.text.count("and not what labels say") == 1
    engine.away, engine.answers[ID] = False, FOUND
    until(lambda: own.settled(ID) and own.of(ID))
    assert not own.settled("ef" * 32)


def test_labels_of_its_service_are_waited_for_as_well(own: Owners, engine: Engine) -> None:
    row = {"Id": ID, "Config": {"Labels": {"pending": ""}}}
    engine.told.append(described(row, Node("n")))
    assert not own.settled(ID)
    engine.told[0] = FOUND
    assert own.settled(ID)


@pytest.mark.parametrize(
    ("tag", "asks"), [("0123456789ab", ["0123456789ab"]), ("img/web/0123456789ab", ["img", "web"]), ("a b/..", [])]
)
def test_a_tag_is_asked_for_by_its_parts(own: Owners, engine: Engine, tag: str, asks: list[str]) -> None:
    engine.answers["web"] = replace(FOUND, tag="img/web/0123456789ab")
    engine.answers["0123456789ab"] = replace(FOUND, tag="0123456789ab")
    assert not own.settled(tag)
    until(lambda: not own._pending)
    assert engine.asked == asks
    assert bool(own.of(tag)) is bool(asks)


@pytest.mark.parametrize("other", [replace(FOUND, driver="json-file", tag=""), replace(FOUND, tag="another")])
def test_a_program_that_is_called_like_a_container_is_not_it(own: Owners, engine: Engine, other: Container) -> None:
    engine.answers["sshd"] = other
    assert not own.settled("sshd")
    until(lambda: not own._pending)
    assert not own.of("sshd")


def test_one_that_was_gone_at_once_is_known_by_the_id_in_its_tag(own: Owners, engine: Engine) -> None:
    engine.told.append(provisional(ID, {"name": "web"}, Node("n"), running=False))
    for tag in (ID[:12], f"img/web/{ID[:12]}"):
        assert own.settled(tag)
        assert [each.id for each in own.of(tag)] == [ID]
    assert not own.settled("web")


def test_a_fault_of_ours_costs_its_container_only(engine: Engine, clock: Clock) -> None:
    def ask(meant: str) -> Container | None:
        if meant == ID:
            raise KeyError("a bug")
        return FOUND

    own = Owners(engine, ask, lambda labels: True, clock)
    assert not own.settled(ID)
    until(lambda: not own._pending)
    clock.now = GONE
    assert own.settled(ID)
    assert not own.settled("cd" * 32)
    until(lambda: own.settled("cd" * 32))
    own.close()
