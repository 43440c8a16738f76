"""Discovery on real engines: nothing that starts is missed, whatever containers, events and the engine itself do."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import docker
import pytest

from shipper.container import Container
from shipper.filters import Filters
from shipper.watch import Watcher
from towline.engine import Engine
from towline.metrics import ENGINE_RECONNECTS

DEADLINE = 120.0

Call = tuple[str, Any]


def until(condition: Callable[[], Any], what: str = "condition") -> Any:
    """What `condition` gives as soon as that is true."""
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} did not come true in {DEADLINE:.0f} s"
        time.sleep(0.01)
    return result


class Recorder:
    """A listener that keeps what it is told about containers whose name starts with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.calls: list[tuple[str, str]] = []
        self.containers: dict[str, Container] = {}
        self.opened: set[str] = set()
        self.ids: set[str] = set()
        self.present_ids: frozenset[str] | None = None
        self.presents = 0

    def appeared(self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool) -> None:
        if not attributes["name"].startswith(self.prefix):
            return
        self.ids.add(container_id)
        self.calls.append(("appeared", container_id))
        assert log_path is not None
        with suppress(OSError), log_path.open("rb"):
            self.opened.add(container_id)

    def described(self, container: Container) -> None:
        if container.id in self.ids:
            self.containers[container.id] = container
            self.calls.append(("described", container.id))

    def stopped(self, container_id: str) -> None:
        self._note("stopped", container_id)

    def started(self, container_id: str) -> None:
        self._note("started", container_id)

    def removed(self, container_id: str) -> None:
        self._note("removed", container_id)

    def present(self, container_ids: frozenset[str]) -> None:
        self.present_ids = container_ids
        self.presents += 1

    def _note(self, what: str, container_id: str) -> None:
        if container_id in self.ids:
            self.calls.append((what, container_id))

    def of(self, container_id: str) -> list[str]:
        return [what for what, which in list(self.calls) if which == container_id]

    def name(self, container_id: str) -> str:
        return self.containers[container_id].origin.container_name


@contextmanager
def watching(url: str, recorder: Recorder, filters: Filters | None = None, **options: Any) -> Iterator[Watcher]:
    engine = Engine(url, timeout=10)
    watcher = Watcher(engine, recorder, filters or Filters(), **options)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.stop()
        thread.join(DEADLINE)
        engine.close()
    assert not thread.is_alive()


@pytest.fixture
def recorder(prefix: str) -> Recorder:
    return Recorder(prefix)


Run = Callable[..., Any]


@pytest.fixture
def run(engine: docker.DockerClient, prefix: str, test_image: str) -> Run:
    """Start a container whose name begins with the test's prefix."""

    def start(name: str, command: str = "sleep 600", **options: Any) -> Any:
        return engine.containers.run(
            test_image, command, name=f"{prefix}-{name}", detach=True, network_mode="none", **options)  # fmt: skip

    return start


def connected(watcher: Watcher) -> None:
    until(lambda: not watcher.problem, "connection")


@pytest.mark.engine
def test_running_and_stopped_before_created_never_run(
    engine: docker.DockerClient, engine_url: str, run: Run, recorder: Recorder, prefix: str, test_image: str
) -> None:
    running, stopped = run("running"), run("stopped", "echo bye")
    stopped.wait()
    created = engine.containers.create(test_image, "true", name=f"{prefix}-created", network_mode="none")
    with watching(engine_url, recorder) as watcher:
        connected(watcher)
        until(lambda: len(recorder.containers) == 2)
        assert recorder.of(running.id) == ["appeared", "described"]
        assert recorder.of(stopped.id) == ["appeared", "stopped", "described"]
        assert (recorder.containers[running.id].running, recorder.containers[stopped.id].running) == (True, False)
        assert created.id not in recorder.ids, "it has no log yet"
        assert recorder.present_ids is not None
        assert {running.id, stopped.id, created.id} <= recorder.present_ids
        created.start()
        until(lambda: "described" in recorder.of(created.id) and "stopped" in recorder.of(created.id))


@pytest.mark.engine
def test_a_life_started_paused_renamed_restarted_stopped_removed(
    engine_url: str, run: Run, recorder: Recorder, prefix: str
) -> None:
    with watching(engine_url, recorder) as watcher:
        connected(watcher)
        container = run("life", labels={"tier": "x"})
        until(lambda: container.id in recorder.containers)
        assert recorder.containers[container.id].origin.fields["container"]["labels"] == {"tier": "x"}
        assert container.id in recorder.opened, "the log could be opened when it appeared"
        container.pause()
        container.unpause()
        container.rename(f"{prefix}-renamed")
        until(lambda: recorder.name(container.id) == f"{prefix}-renamed")
        container.restart(timeout=0)
        until(lambda: "started" in recorder.of(container.id))
        container.stop(timeout=0)
        until(lambda: recorder.of(container.id)[-1] == "stopped")
        container.remove()
        until(lambda: recorder.of(container.id)[-1] == "removed")
        assert recorder.of(container.id) == [
            "appeared", "described", "described", "stopped", "started", "stopped", "removed"]  # fmt: skip


@pytest.mark.engine
def test_fifty_that_live_a_moment_and_vanish_are_all_told_of_in_time(
    engine_url: str, run: Run, recorder: Recorder
) -> None:
    with watching(engine_url, recorder) as watcher:
        connected(watcher)
        ids = [run(f"rm{number}", "echo hello", auto_remove=True).id for number in range(50)]
        until(lambda: all("removed" in recorder.of(one) for one in ids))
    for one in ids:
        assert recorder.of(one)[0] == "appeared"
        assert recorder.of(one)[-1] == "removed"
        assert "described" in recorder.of(one)
        assert "stopped" in recorder.of(one)
    assert len(recorder.opened) == len(ids), "each log could be opened when its container appeared"


@pytest.mark.engine
def test_labels_decide_who_is_collected(engine_url: str, run: Run, recorder: Recorder, prefix: str) -> None:
    before = run("off-before", labels={"towline.enable": "false"})
    with watching(engine_url, recorder, Filters.of(exclude=[f"{prefix}-ex*"])) as watcher:
        connected(watcher)
        off = run("off", labels={"towline.enable": "No"})
        own = run("own", labels={"towline.component": "shipper"})
        excluded = run("ex-1")
        forced = run("ex-2", labels={"towline.enable": "true"})
        until(lambda: forced.id in recorder.containers)
        assert recorder.ids == {forced.id}
        count = recorder.presents
        with watching(engine_url, recorder):
            until(lambda: recorder.presents > count)
        assert recorder.present_ids is not None
        assert {before.id, off.id, own.id, excluded.id} <= recorder.present_ids, "left out, but they exist"


@pytest.mark.engine
def test_a_rename_into_and_out_of_the_excluded(engine_url: str, run: Run, recorder: Recorder, prefix: str) -> None:
    with watching(engine_url, recorder, Filters.of(exclude=[f"{prefix}-ex*"])) as watcher:
        connected(watcher)
        container = run("ex")
        container.rename(f"{prefix}-in")
        until(lambda: container.id in recorder.containers)
        container.rename(f"{prefix}-ex")
        until(lambda: "removed" in recorder.of(container.id))
        assert recorder.of(container.id) == ["appeared", "described", "stopped", "removed"]


@pytest.mark.engine
def test_a_listener_that_fails_for_one_container_hears_of_the_others(
    engine_url: str, run: Run, recorder: Recorder, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Recorder):
        def appeared(
            self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool
        ) -> None:
            super().appeared(container_id, attributes, log_path, fresh)
            if attributes["name"].endswith("-bad"):
                raise RuntimeError("boom")

    failing = Failing(prefix)
    with watching(engine_url, failing) as watcher:
        connected(watcher)
        bad, good = run("bad"), run("good")
        until(lambda: {bad.id, good.id} <= failing.containers.keys())
    assert "the others go on" in caplog.text


@pytest.mark.engine
def test_no_engine_is_a_problem_told_once_and_stop_ends_the_wait(
    tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), watching(f"unix://{tmp_path}/docker.sock", recorder) as watcher:
        assert watcher.problem
        until(lambda: "no socket" in watcher.problem)
        engine_calls = until(lambda: caplog.records)
        assert len(engine_calls) == 1
    assert len([record for record in caplog.records if "trying again" in record.message]) == 1


class Relay:
    """A socket in front of an engine that can lose what the engine says, without a word: a half-open connection."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._target = target.removeprefix("unix://")
        self._mutes: list[threading.Event] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    def mute(self) -> None:
        """Swallow what goes through the event streams of now; later ones work."""
        for mute in self._mutes:
            mute.set()

    def close(self) -> None:
        for one in [self._server, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(DEADLINE)
        for one in [self._server, *self._sockets]:
            one.close()

    def _spawn(self, job: Callable[..., None], *about: Any) -> None:
        thread = threading.Thread(target=job, args=about, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            self._sockets += [near, far]
            far.connect(self._target)
            self._spawn(self._relay, near, far)

    def _pump(self, source: socket.socket, sink: socket.socket, mute: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not mute.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        """A connection is an event stream from where it asks for one."""
        mute = threading.Event()
        self._spawn(self._pump, far, near, mute)
        with suppress(OSError):
            while data := near.recv(65536):
                if b"/events?" in data:
                    self._mutes.append(mute)
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)


@pytest.mark.engine
def test_a_stream_that_falls_silent_without_an_end_is_noticed_and_opened_again(
    engine_url: str, run: Run, recorder: Recorder, tmp_path: Path
) -> None:
    if not engine_url.startswith("unix://"):
        pytest.skip("the relay speaks to a unix socket")
    relay = Relay(tmp_path / "relay.sock", engine_url)
    before = ENGINE_RECONNECTS._value.get()
    try:
        with watching(relay.url, recorder, interval=0.5) as watcher:
            connected(watcher)
            relay.mute()
            lost = run("lost")
            until(lambda: "described" in recorder.of(lost.id), "finding what no event told")
            until(lambda: ENGINE_RECONNECTS._value.get() > before, "another stream")
            connected(watcher)
            found = run("found")
            until(lambda: recorder.of(found.id))
            lost.kill()
            until(lambda: "stopped" in recorder.of(lost.id))
    finally:
        relay.close()


class SecondEngine:
    """A dockerd of the test's own, which may be ended and started again. `data` must be a short path.

    It gets a network namespace to itself: in a shared one, `--bridge=none` removes the first engine's docker0.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = f"unix://{data}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        config = data / "containerd.toml"
        config.write_text(
            f"""version = 2
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            root = "{data}/containerd"
            state = "{data}/run"
            [grpc]
            address = "{data}/containerd.sock"
            """
        )
        # One of its own: a killed dockerd would leave its containerd in a state that the next one can't use.
        self._containerd = self._spawn("containerd", "--config", str(config))

    def start(self, *options: str) -> None:
        self._process = self._spawn(
            "unshare", "--net", "dockerd", f"--data-root={self.data}/root", f"--exec-root={self.data}/exec",
            f"--containerd={self.data}/containerd.sock", f"--pidfile={self.data}/pid", f"-H={self.url}",
            "--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver=vfs", *options)  # fmt: skip
        until(self._answers, f"second engine ({self.data}/dockerd.log)")

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.data / "dockerd.log").open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.data / "dockerd.log").read_text()[-2000:]
        with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
            asking.settimeout(5)
            asking.connect(f"{self.data}/docker.sock")
            asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return asking.recv(64).startswith(b"HTTP/1.0 200")
        return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE)
            self._process = None

    def close(self) -> None:
        try:
            if self._process is None:
                self.start()
            client = docker.DockerClient(base_url=self.url)
            for container in client.containers.list(all=True):
                container.remove(force=True)
            client.close()
        finally:
            self.end()
            self._containerd.terminate()
            self._containerd.wait(DEADLINE)


@pytest.fixture
def second(
    engine: docker.DockerClient, test_image: str, missing_part: Callable[[str], NoReturn]
) -> Iterator[SecondEngine]:
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        missing_part("a second engine needs root and dockerd")
    data = Path(tempfile.mkdtemp(prefix="tow-"))
    second = SecondEngine(data)
    try:
        yield second
    finally:
        second.close()
        subprocess.run(["umount", "-q", *map(str, (data / "exec").glob("netns/*")), str(data / "root")], check=False)
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def load(engine: docker.DockerClient, test_image: str) -> Callable[[SecondEngine], docker.DockerClient]:
    """A client of the second engine, which has the test image then."""

    def put(second: SecondEngine) -> docker.DockerClient:
        client = docker.DockerClient(base_url=second.url)
        client.images.load(b"".join(engine.images.get(test_image).save(named=test_image)))
        return client

    return put


@pytest.mark.engine
@pytest.mark.parametrize("live_restore", [False, True], ids=["containers-stop", "live-restore"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_an_engine_that_restarts_is_found_again_with_what_happened_meanwhile(
    second: SecondEngine,
    load: Callable[[SecondEngine], docker.DockerClient],
    test_image: str,
    live_restore: bool,
    how: signal.Signals,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = ["--live-restore"] if live_restore else []
    second.start(*options)
    client = load(second)
    run = {"image": test_image, "detach": True, "network_mode": "none", "stop_signal": "SIGKILL"}
    stays = client.containers.run(command="sleep 600", name="e-stays", **run)
    returns = client.containers.run(
        command="sleep 600", name="e-returns", restart_policy={"Name": "always"}, **run)  # fmt: skip
    recorder, reconnects = Recorder("e-"), ENGINE_RECONNECTS._value.get()
    with caplog.at_level(logging.INFO, logger="shipper"), watching(second.url, recorder) as watcher:
        until(lambda: {stays.id, returns.id} <= recorder.containers.keys())
        assert watcher.node.data_root == second.data / "root"
        second.end(how)
        until(lambda: [record for record in caplog.records if "trying again" in record.message], "the one log line")
        assert watcher.problem
        second.start(*options)
        connected(watcher)
        late = client.containers.run(command="sleep 600", name="e-late", **run)
        until(lambda: late.id in recorder.containers)
        if live_restore:
            assert recorder.of(stays.id) == recorder.of(returns.id) == ["appeared", "described"]
        else:
            until(lambda: recorder.of(stays.id)[2:] == ["stopped"])
            until(lambda: recorder.of(returns.id)[2:] == ["stopped", "started"])
        assert "removed" not in {what for what, _ in recorder.calls}
    client.close()
    told = [record.levelname for record in caplog.records if record.name == "shipper.watch"]
    assert told == ["WARNING", "INFO"], "one line when it goes, one when it is back"
    assert ENGINE_RECONNECTS._value.get() == reconnects + 1
