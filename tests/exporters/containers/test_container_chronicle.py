"""What happened to containers, from events and answers: starts, ends, deployments, OOM kills, failing health."""

from dataclasses import replace

from exporters.containers.described import Described
from exporters.containers.inventory import Inventory
from exporters.containers.naming import Naming
from exporters.containers.state import State

HASH = "com.docker.compose.config-hash"
WEB = {"com.docker.compose.service": "web"}


class Engine:
    """Tells an inventory of containers of one service."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.inventory = Inventory(Naming(), clock=lambda: self.now)

    def event(self, name: str, action: str, image: str = "web:1", **more: str) -> None:
        self.now += 1
        about = {"name": name, "image": image, **WEB, **more}
        self.inventory.happened(identity(name), action, about, self.now)

    def run(self, name: str, image: str = "web:1", **more: str) -> None:
        self.event(name, "create", image, **more)
        self.event(name, "start", image, **more)

    def answer(self, name: str, **more: object) -> None:
        known = next(each for each in self.inventory.shown() if each.told.name == name)
        self.inventory.inspected(replace(known.told, pid=7, **more))  # type: ignore[arg-type]

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(each.container, each.what, each.about) for each in self.inventory.happenings()]

    @property
    def deployed(self) -> list[str]:
        return [container for container, what, _ in self.told if what == "deployed"]


def identity(name: str) -> str:
    return (name.encode().hex() * 64)[:64]


def test_starts_ends_and_oom_kills_have_the_time_of_their_events() -> None:
    engine = Engine()
    engine.run("a")
    engine.event("a", "oom")
    engine.event("a", "die", exitCode="137")
    engine.event("a", "start")
    assert engine.told == [
        ("a", "started", "web:1"), ("a", "oom", ""), ("a", "stopped", "137"), ("a", "started", "web:1"),
    ]  # fmt: skip
    assert [each.time for each in engine.inventory.happenings()] == [1002.0, 1003.0, 1004.0, 1005.0]


def test_answers_that_say_what_events_said_add_nothing_and_older_ones_neither() -> None:
    engine = Engine()
    engine.run("a")
    engine.event("a", "die", exitCode="1")
    engine.event("a", "start")
    engine.answer("a", started=1003.8)
    engine.answer("a", started=1001.9, finished=0.0)
    assert [what for _, what, _ in engine.told] == ["started", "stopped", "started"]


def test_what_ran_before_anybody_looked_has_started_and_was_not_deployed() -> None:
    engine = Engine()
    engine.inventory.inspected(Described(identity("a"), "a", "web:1", WEB, state="running", pid=5, started=900.0))
    assert engine.told == [("a", "started", "web:1")]


def test_another_image_is_a_deployment_once_for_all_replicas_and_back_again_is_another() -> None:
    engine = Engine()
    for name in ("a", "b"):
        engine.run(name)
    assert engine.deployed == []
    engine.event("a", "die", exitCode="0")
    engine.run("c", "web:2")
    engine.event("b", "die", exitCode="0")
    engine.run("d", "web:2")
    assert engine.deployed == ["c"]
    for name in ("c", "d"):
        engine.event(name, "die", exitCode="0")
        engine.event(name, "destroy")
    engine.run("e", "web:1")
    assert engine.deployed == ["c", "e"]


def test_a_scrape_tells_when_a_deployment_began_and_a_run_that_has_ended() -> None:
    engine = Engine()
    engine.run("old")
    engine.run("new", "web:2")
    engine.event("old", "die", exitCode="0")
    assert engine.inventory.deployed() == {identity("new"): 1004.0}
    found = {family.name: family.body.decode() for family in State(engine.inventory).collect()}
    names = ("deployed", "ended_start", "finished")
    ends = [found[f"container_{name}_time_seconds"].rpartition("} ") for name in names]
    assert [value for _, _, value in ends] == ["1004.000\n", "1002.000\n", "1005.000\n"]
    assert [text.count("\n") for text, _, _ in ends] == [0, 0, 0]  # nobody else has one


def test_a_larger_scale_and_a_replacement_of_the_same_are_no_deployments() -> None:
    engine = Engine()
    engine.run("a")
    engine.run("b")
    engine.event("a", "die", exitCode="1")
    engine.event("a", "destroy")
    engine.run("c")
    assert engine.deployed == []


def test_an_old_replica_that_is_replaced_during_a_rollout_is_no_deployment() -> None:
    engine = Engine()
    for name in ("a", "b"):
        engine.run(name)
    engine.run("c", "web:2")
    engine.event("a", "die", exitCode="1")
    engine.run("d", "web:1")
    assert engine.deployed == ["c"]


def test_another_configuration_of_compose_or_of_swarm_is_a_deployment() -> None:
    engine = Engine()
    engine.run("a", **{HASH: "1"})
    engine.event("a", "die", exitCode="0")
    engine.run("b", **{HASH: "2"})
    assert engine.deployed == ["b"]
    engine.answer("b", setup="another, which the hash covers")
    engine.event("b", "die", exitCode="0")
    engine.run("c", **{HASH: "2"})
    engine.answer("c", setup="one more")
    engine.run("d", "tool:1", **{HASH: "3", "com.docker.compose.oneoff": "True"})
    assert engine.deployed == ["b"]
    engine = Engine()
    engine.run("a")
    engine.answer("a", setup="environment 1")
    engine.event("a", "die", exitCode="0")
    engine.run("b")
    assert engine.deployed == []  # the event does not say; the answer does
    engine.answer("b", setup="environment 2")
    assert engine.deployed == ["b"]
    assert [each.time for each in engine.inventory.happenings()] == [1002.0, 1003.0, 1005.0]


def test_health_is_told_when_it_fails_and_when_it_is_back() -> None:
    engine = Engine()
    engine.run("a")
    for status in ("starting", "healthy", "unhealthy", "unhealthy", "healthy"):
        engine.event("a", f"health_status: {status}")
    assert [what for _, what, _ in engine.told] == ["started", "unhealthy", "healthy"]


def test_kills_that_only_the_kernel_counted_are_told_once() -> None:
    engine = Engine()
    engine.run("a")
    (known,) = engine.inventory.shown()
    for count in (0, 1, 1):
        engine.inventory.saw_oom_kills(known, count)
    engine.event("a", "oom")
    assert [what for _, what, _ in engine.told] == ["started", "oom"]
