"""Labels of Swarm services and of this node: asked of managers over real HTTP, awaited, kept for restarts, changed
while running."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.wrappers import Request, Response

from shipper.container import with_node_labels
from shipper.managers import PATH, Told, Url
from shipper.service_labels import FORGET, KEEP_GONE, ServiceLabels
from towline.batch import Origin
from towline.engine import Engine
from towline.errors import TowlineError, UsageError
from towline.http import HttpServer, Site, answer
from towline.metrics import SERVICES_WITHOUT_LABELS

JSON = {"towline.parse": "json"}


def until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


class Manager:
    """`towline export` as far as it is asked here, at an address of its own; `labels` None: it manages nothing; `nodes`
    None: it is of a version that tells nothing of these."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] | None = {}
        self.nodes: dict[str, dict[str, str]] | None = None
        self.questions: list[dict[str, list[str]]] = []
        self.asked = 0
        self._server = HttpServer(Site({PATH: self._tell, "/other": lambda request: answer([])}), ("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    @property
    def url(self) -> str:
        return self._server.url

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()

    def _tell(self, request: Request) -> Response:
        self.asked += 1
        self.questions.append({name: request.args.getlist(name) for name in request.args})
        if self.labels is None:
            raise ServiceUnavailable("this node manages no Swarm; ask one that does")
        told = {"services": {key: {"name": key, "labels": labels} for key, labels in self.labels.items()}}
        nodes = {} if self.nodes is None else {"nodes": {key: {"labels": of} for key, of in self.nodes.items()}}
        return answer({**told, **nodes})


@pytest.fixture
def manager() -> Iterator[Manager]:
    made = Manager()
    yield made
    made.stop()


class Asking:
    def __init__(self, folder: Path, urls: tuple[str, ...], engine: Any = None, **more: Any) -> None:
        self.changes = 0
        self.labels = ServiceLabels(
            urls, engine or NoManager(), folder / "service-labels.json", self._changed, **{"every": 0.05, **more}
        )
        self.thread = threading.Thread(target=self.labels.run)

    def __enter__(self) -> "Asking":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.labels.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def _changed(self) -> None:
        self.changes += 1


class NoManager(Engine):
    """A worker's engine, as far as it is asked here; tests/exporters has a real manager's. `node`: its id there."""

    def __init__(self, node: str = "") -> None:
        super().__init__("unix:///nowhere")
        self.node = node

    def info(self) -> Any:
        return type("Info", (), {"swarm_manager": False, "swarm_node": self.node})()


def test_nobody_is_asked_before_a_service_is_seen_and_then_at_once(tmp_path: Path, manager: Manager) -> None:
    manager.labels = {"s1": JSON}
    with Asking(tmp_path, (manager.url,)) as asking:
        assert manager.asked == 0
        assert asking.labels.of("s1") is None
        assert until(lambda: asking.labels.of("s1")) == JSON
        until(lambda: asking.changes == 1)


def test_what_changes_is_told(tmp_path: Path, manager: Manager) -> None:
    manager.labels = {"s1": JSON}
    with Asking(tmp_path, (manager.url,)) as asking:
        until(lambda: asking.labels.of("s1"))
        manager.labels = {"s1": {"towline.parse": "logfmt"}}
        until(lambda: asking.labels.of("s1") == {"towline.parse": "logfmt"})
        until(lambda: asking.changes == 2)
        asked = manager.asked
        until(lambda: manager.asked > asked + 2)
        assert asking.changes == 2, "the same answer again is no change"


def test_a_service_that_managers_do_not_know_yet_is_waited_for_but_not_for_ever(
    tmp_path: Path, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    with Asking(tmp_path, (manager.url,), hold=3600) as asking:
        assert asking.labels.of("new") is None
        until(lambda: manager.asked > 1)
        assert asking.labels.of("new") is None
        manager.labels = {"new": JSON}
        assert until(lambda: asking.labels.of("new")) == JSON
    now = [0.0]
    with Asking(tmp_path / "other", (manager.url,), hold=1, clock=lambda: now[0]) as asking:
        assert asking.labels.of("gone") is None
        until(lambda: asking.changes == 1)  # the answer
        assert asking.labels.of("gone") is None
        now[0] = 1.0
        until(lambda: asking.changes == 2)  # the end of the waiting
        assert asking.labels.of("gone") == {}
        assert "go on without: gone" in caplog.text


def test_the_next_one_is_asked_where_one_is_away_or_no_manager(
    tmp_path: Path, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    other, away = Manager(), Manager()
    away.stop()
    other.labels, manager.labels = None, {"s1": JSON}
    try:
        with Asking(tmp_path, (away.url, other.url, manager.url)) as asking:
            asking.labels.of("s1")
            assert until(lambda: asking.labels.of("s1")) == JSON
            assert asking.labels.problem == ""
            asked = other.asked
            until(lambda: manager.asked > 3)
            assert other.asked == asked, "who answered is asked first"
            manager.labels = None
            until(lambda: asking.labels.problem)
            assert "this node manages no Swarm" in asking.labels.problem
            assert asking.labels.of("s1") == JSON, "what was told last still holds"
    finally:
        other.stop()
    assert caplog.text.count("labels of services can't be asked for") >= 1


def test_the_last_answer_is_there_after_a_restart_without_a_manager(tmp_path: Path, manager: Manager) -> None:
    manager.labels = {"s1": JSON}
    with Asking(tmp_path, (manager.url,)) as asking:
        until(lambda: asking.labels.of("s1"))
    again = ServiceLabels((manager.url,), NoManager(), tmp_path / "service-labels.json", lambda: None)
    assert again.of("s1") == JSON
    (tmp_path / "service-labels.json").write_text('{"labels": [1]}')
    assert ServiceLabels((), NoManager(), tmp_path / "service-labels.json", lambda: None).of("s1") is None


def test_labels_of_a_service_that_is_gone_still_hold_for_its_last_lines(tmp_path: Path, manager: Manager) -> None:
    now = [1000.0]
    manager.labels = {"s1": JSON, "s2": JSON}
    with Asking(tmp_path, (manager.url,), wall=lambda: now[0]) as asking:
        until(lambda: asking.labels.of("s1"))
        manager.labels = {"s2": JSON}
        asked = manager.asked
        until(lambda: manager.asked > asked + 1)
        assert asking.labels.of("s1") == JSON
        now[0] += KEEP_GONE + 1
        until(lambda: asking.labels.of("s1") == {} or asking.changes > 1)


def test_where_nobody_can_be_asked_nothing_waits(tmp_path: Path) -> None:
    with Asking(tmp_path, ()) as asking:
        asking.labels.of("s1")
        assert until(lambda: asking.labels.of("s1") is not None)
        assert asking.labels.of("s1") == {}
        until(lambda: asking.changes == 1)
        assert asking.labels.problem == ""


@pytest.mark.parametrize("url", ["manager:9514", "ftp://manager", "http://", "http://m:99999", "http://m/?a=b", ""])
def test_what_is_no_url_is_wrong_usage_without_a_secret(url: str) -> None:
    with pytest.raises(UsageError, match=r"--service-labels .*; write for example http://manager:9514"):
        Url(url)
    with pytest.raises(UsageError) as error:
        Url("http://me:secret@m")
    assert "secret" not in str(error.value)


def test_what_answers_and_is_no_export_is_named(manager: Manager) -> None:
    with pytest.raises(TowlineError, match="answered 404"):
        Url(manager.url + "elsewhere").ask()
    manager.labels = {"s1": 3}  # type: ignore[dict-item]
    with pytest.raises(TowlineError, match="is no `towline export`; name one on a manager"):
        Url(manager.url).ask()
    manager.labels, manager.nodes = {}, {"n1": "zone"}  # type: ignore[dict-item]
    with pytest.raises(TowlineError, match="is no `towline export`; name one on a manager"):
        Url(manager.url).ask("n1", ["zone"])


def test_only_labels_of_ours_are_taken(manager: Manager) -> None:
    manager.labels = {"s1": {**JSON, "com.example.secret": "x", "co.elastic.logs/enabled": "true"}}
    assert Url(manager.url).ask() == Told({"s1": {**JSON, "co.elastic.logs/enabled": "true"}})


def test_services_whose_lines_go_on_without_labels_are_counted(tmp_path: Path, manager: Manager) -> None:
    manager.labels = {"known": JSON}
    with Asking(tmp_path, (manager.url,), hold=0.2) as asking:
        asking.labels.of("known")
        asking.labels.of("unheard of")
        until(lambda: SERVICES_WITHOUT_LABELS._value.get() == 1)
        manager.labels = {"known": JSON, "unheard of": {}}
        until(lambda: SERVICES_WITHOUT_LABELS._value.get() == 0)
    now = [0.0]
    manager.labels = None
    with Asking(tmp_path / "other", (manager.url,), hold=1, clock=lambda: now[0]) as asking:
        asking.labels.of("s1")
        until(lambda: asking.labels.problem)
        assert SERVICES_WITHOUT_LABELS._value.get() == 0, "its lines wait"
        now[0] = 2.0
        until(lambda: SERVICES_WITHOUT_LABELS._value.get() == 1)
        now[0] = 2 * FORGET
        until(lambda: SERVICES_WITHOUT_LABELS._value.get() == 0)


def test_labels_of_this_node_come_with_the_same_answer_and_only_those_that_are_wanted(
    tmp_path: Path, manager: Manager
) -> None:
    manager.labels, manager.nodes = {}, {"n1": {"zone": "a", "secret": "x"}, "n2": {"zone": "b"}}
    with Asking(tmp_path, (manager.url,), NoManager("n1"), wanted=("zone", "disk")) as asking:
        until(lambda: asking.labels.node == {"zone": "a"})
        until(lambda: asking.changes == 1)
        assert manager.questions[0] == {"node": ["n1"], "node_label": ["zone", "disk"]}
        manager.nodes = {"n1": {"disk": "ssd"}}
        until(lambda: asking.labels.node == {"disk": "ssd"})
        manager.nodes = None
        asked = manager.asked
        until(lambda: manager.asked > asked + 1)
        assert asking.labels.node == {"disk": "ssd"}, "what was told last holds where a manager tells nothing of nodes"
    again = ServiceLabels((), NoManager("n1"), tmp_path / "service-labels.json", lambda: None, wanted=("disk",))
    assert again.node == {"disk": "ssd"}, "after a restart without a manager, too"
    other = ServiceLabels((), NoManager("n1"), tmp_path / "service-labels.json", lambda: None, wanted=("zone",))
    assert other.node == {}, "what is wanted no more is told no more"


def test_a_node_that_left_its_swarm_has_no_labels_of_it(tmp_path: Path, manager: Manager) -> None:
    manager.labels, manager.nodes = {}, {"n1": {"zone": "a"}}
    with Asking(tmp_path, (manager.url,), NoManager("n1"), wanted=("zone",)) as asking:
        until(lambda: asking.labels.node)
    with Asking(tmp_path, (manager.url,), NoManager(""), wanted=("zone",)) as asking:
        until(lambda: not asking.labels.node)


def test_where_no_labels_of_nodes_are_wanted_nothing_is_asked_of_nodes(tmp_path: Path, manager: Manager) -> None:
    manager.labels = {"s1": JSON}
    with Asking(tmp_path, (manager.url,), NoManager("n1")) as asking:
        asking.labels.of("s1")
        assert until(lambda: asking.labels.of("s1")) == JSON
    assert manager.questions[0] == {}


def test_labels_of_the_node_stand_in_the_origin_whatever_runs_there() -> None:
    alone = Origin({"container": {"id": "c"}, "host": {"name": "n"}, "service": {"name": "s"}})
    assert with_node_labels(alone, {}) is alone
    assert with_node_labels(alone, {"zone": "a"}).fields["orchestrator"] == {"node": {"labels": {"zone": "a"}}}
    task = Origin({**alone.fields, "orchestrator": {"type": "swarm", "node": {"id": "n1"}}})
    told = with_node_labels(task, {"zone": "a"})
    assert told.fields["orchestrator"] == {"type": "swarm", "node": {"id": "n1", "labels": {"zone": "a"}}}
    assert task.fields["orchestrator"]["node"] == {"id": "n1"}
