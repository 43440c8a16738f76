"""Labels of Swarm services: asked of managers over real HTTP, awaited, kept for restarts, changed while running."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.wrappers import Request, Response

from shipper.managers import PATH, Url
from shipper.service_labels import KEEP_GONE, ServiceLabels
from towline.engine import Engine
from towline.errors import TowlineError, UsageError
from towline.http import HttpServer, Site, answer

JSON = {"towline.parse": "json"}


def until(ask: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


class Manager:
    """`towline export` as far as it is asked here, at an address of its own; `labels` None: it manages nothing."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] | None = {}
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
        if self.labels is None:
            raise ServiceUnavailable("this node manages no Swarm; ask one that does")
        return answer({"services": {key: {"name": key, "labels": labels} for key, labels in self.labels.items()}})


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
        self.thread.join(30)
        assert not self.thread.is_alive()

    def _changed(self) -> None:
        self.changes += 1


class NoManager(Engine):
    """A worker's engine, as far as it is asked here; tests/exporters has a real manager's."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")

    def info(self) -> Any:
        return type("Info", (), {"swarm_manager": False})()


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
    with Asking(tmp_path / "other", (manager.url,), hold=0.2) as asking:
        assert asking.labels.of("gone") is None
        until(lambda: asking.changes == 2)  # the answer, and the end of the waiting
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
        Url(manager.url + "elsewhere").labels()
    manager.labels = {"s1": 3}  # type: ignore[dict-item]
    with pytest.raises(TowlineError, match="is no `towline export`; name one on a manager"):
        Url(manager.url).labels()


def test_only_labels_of_ours_are_taken(manager: Manager) -> None:
    manager.labels = {"s1": {**JSON, "com.example.secret": "x", "co.elastic.logs/enabled": "true"}}
    assert Url(manager.url).labels() == {"s1": {**JSON, "co.elastic.logs/enabled": "true"}}
