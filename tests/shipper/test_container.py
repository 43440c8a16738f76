"""What a container's inspection, or only an event, becomes in every line: ECS fields, hostile names as data."""

import json
from pathlib import Path
from typing import Any

import docker
import pytest

from shipper.container import Node, attributes_of, described, labels_in, provisional, tag_of
from towline.engine import Engine
from towline.identity import is_id

ID = "0123456789abcdef" * 4
NODE = Node("node-1", data_root=Path("/var/lib/docker"))


def inspection(name: str = "/web", labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "Id": ID,
        "Name": name,
        "LogPath": f"/var/lib/docker/containers/{ID}/{ID}-json.log",
        "State": {"Running": True},
        "Config": {"Image": "shop/web:1.2", "Labels": labels, "Tty": False},
        "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}, "AutoRemove": False},
        **more,
    }


def fields(labels: dict[str, str], node: Node = NODE) -> Any:
    return described(inspection(labels=labels), node).origin.fields


def test_a_plain_container() -> None:
    container = described(inspection(labels={"tier": "front"}), NODE)
    assert container.origin.fields == {
        "container": {
            "id": ID,
            "name": "web",
            "image": {"name": "shop/web:1.2", "tag": ["1.2"]},
            "labels": {"tier": "front"},
        },
        "host": {"name": "node-1"},
        "service": {"name": "web", "version": "1.2"},
        "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"},
    }
    assert (container.id, container.driver, container.running, container.tty) == (ID, "json-file", True, False)
    assert (container.rotates_at, container.auto_remove) == (None, False)


def test_a_swarm_task_is_of_its_service() -> None:
    labels = {
        "com.docker.stack.namespace": "shop",
        "com.docker.swarm.node.id": "n0de",
        "com.docker.swarm.service.id": "s3rv",
        "com.docker.swarm.service.name": "shop_web",
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": "t4sk",
        "com.docker.swarm.task.name": "shop_web.3.t4sk",
        "com.docker.compose.service": "other",
    }
    got = fields(labels, Node("node-1", cluster="clu5ter"))
    assert got["service"] == {"name": "shop_web", "version": "1.2"}
    assert got["orchestrator"] == {
        "type": "swarm",
        "cluster": {"id": "clu5ter"},
        "namespace": "shop",
        "resource": {"type": "service", "name": "shop_web", "id": "s3rv"},
        "task": {"id": "t4sk", "name": "shop_web.3.t4sk", "slot": 3},
        "node": {"id": "n0de"},
    }
    assert got["container"]["labels"] == labels, "flat, as they are"


def test_a_task_of_a_global_service_has_no_slot_and_a_worker_knows_no_cluster() -> None:
    labels = {"com.docker.swarm.service.name": "agent", "com.docker.swarm.task.name": "agent.n0de.t4sk"}
    assert fields(labels)["orchestrator"] == {
        "type": "swarm",
        "resource": {"type": "service", "name": "agent"},
        "task": {"name": "agent.n0de.t4sk"},
    }


def test_a_compose_container_is_of_its_service_and_project() -> None:
    got = fields({"com.docker.compose.service": "db", "com.docker.compose.project": "shop"})
    assert got["service"] == {"name": "db", "version": "1.2"}
    assert got["orchestrator"] == {
        "type": "compose", "namespace": "shop", "resource": {"type": "service", "name": "db"}}  # fmt: skip


def test_an_empty_service_label_counts_for_nothing() -> None:
    got = fields({"com.docker.swarm.service.name": "", "com.docker.compose.service": ""})
    assert got["service"] == {"name": "web", "version": "1.2"}
    assert "orchestrator" not in got


def test_hostile_text_stays_data() -> None:
    labels = {"\ud800key": "v\udfff", "nul\0key": "a\0b", "../../etc/passwd": "\x1b]0;x\x07", "rs": "\x1e"}
    container = described(inspection(name="/\udc00../../x", labels=labels), NODE)
    assert container.origin.container_name == "\ufffd../../x"
    assert container.origin.fields["container"]["labels"] == {
        "\ufffdkey": "v\ufffd", "nul\ufffdkey": "a\0b", "../../etc/passwd": "\x1b]0;x\x07", "rs": "\x1e"}  # fmt: skip
    assert b"\x1e" not in container.origin.json
    assert json.loads(container.origin.json) == container.origin.fields


def test_a_service_name_without_end_is_cut() -> None:
    assert len(fields({"com.docker.compose.service": "x" * 100_000})["service"]["name"]) == 255


@pytest.mark.parametrize(
    ("driver", "options", "rotates_at"),
    [
        ("json-file", {}, None),
        ("json-file", {"max-size": "-1"}, None),
        ("json-file", {"max-size": "10m", "max-file": "3"}, 10_000_000),
        ("json-file", {"max-size": "64KB"}, 64_000),
        ("json-file", {"max-size": "4096"}, 4096),
        ("json-file", {"max-size": "what?"}, 20_000_000),
        ("local", {}, 20_000_000),
        ("local", {"max-size": "1g"}, 1_000_000_000),
    ],
)
def test_who_may_forget_lines(driver: str, options: dict[str, str], rotates_at: int | None) -> None:
    host = {"LogConfig": {"Type": driver, "Config": options}}
    assert described(inspection(HostConfig=host), NODE).rotates_at == rotates_at


@pytest.mark.parametrize("driver", ["local", "journald", "none", "syslog"])
def test_only_json_file_has_a_file_to_read(driver: str) -> None:
    container = described(inspection(HostConfig={"LogConfig": {"Type": driver}}), NODE)
    assert (container.driver, container.log_path) == (driver, None)


def test_the_log_is_found_below_the_engine_root() -> None:
    node = Node("n", data_root=Path("/srv/docker/100.100"), engine_root=Path("/host/docker"))
    row = inspection(LogPath=f"/srv/docker/100.100/containers/{ID}/{ID}-json.log")
    want = Path(f"/host/docker/containers/{ID}/{ID}-json.log")
    assert described(row, node).log_path == want
    assert node.guess_log(ID) == want


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/var/lib/docker/../../../etc/passwd", "relative", "/var/lib/docker2/x"]
)
def test_a_log_outside_of_the_engine_root_is_not_touched(path: str) -> None:
    assert described(inspection(LogPath=path), Node("n", engine_root=Path("/host"))).log_path is None


@pytest.mark.parametrize("text", ["", "../x", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", None, 5])
def test_what_is_no_id_never_becomes_a_path(text: Any) -> None:
    assert not is_id(text)
    assert NODE.guess_log(text) is None


def test_a_container_that_waits_for_its_restart_does_not_run() -> None:
    assert not described(inspection(State={"Running": True, "Restarting": True}), NODE).running


def test_an_event_alone_gives_the_same_origin_as_the_inspection() -> None:
    labels = {"tier": "front", "com.docker.compose.service": "db"}
    event = {**labels, "name": "web", "image": "shop/web:1.2", "exitCode": "0", "signal": "15", "execDuration": "3"}
    assert labels_in(event) == labels
    container = provisional(ID, event, NODE, running=False)
    assert container.origin == described(inspection(labels=labels), NODE).origin
    assert container.log_path == described(inspection(), NODE).log_path
    assert (container.running, container.auto_remove, container.rotates_at) == (False, True, 20_000_000)


def test_a_row_of_the_list_serves_as_an_event() -> None:
    row = {"Id": ID, "Names": ["/other/alias", "/web"], "Image": "shop/web:1.2", "Labels": {"a": "b"}}
    assert attributes_of(row) == {"a": "b", "name": "web", "image": "shop/web:1.2"}


def test_a_mesos_task_is_of_its_marathon_application() -> None:
    version = "MARATHON_APP_VERSION=2026-11-23T10:00:00.000Z"
    told = ["MARATHON_APP_ID=/shop/web", "MESOS_TASK_ID=web.1f-2e", version, "A=b"]
    config = {"Image": "shop/web", "Labels": {}, "Env": told}
    got = described(inspection(Config=config), NODE).origin.fields
    assert got["orchestrator"] == {
        "type": "marathon", "resource": {"type": "app", "name": "/shop/web"}, "task": {"id": "web.1f-2e"}}  # fmt: skip
    assert got["service"]["version"] == "2026-11-23T10:00:00.000Z"
    assert "tag" not in got["container"]["image"]


@pytest.mark.parametrize(("image", "tag"), [
    ("web", ""), ("web:1.2", "1.2"), ("registry:5000/shop/web", ""), ("registry:5000/shop/web:2@sha256:00", "2"),
    ("sha256:0123", ""), ("", ""),
])  # fmt: skip
def test_the_tag_is_what_stands_behind_the_name(image: str, tag: str) -> None:
    assert tag_of(image) == tag


def test_the_image_tells_its_version_better_than_its_tag() -> None:
    assert fields({"org.opencontainers.image.version": "1.2.7"})["service"]["version"] == "1.2.7"


def test_nonsense_from_the_engine_is_survived() -> None:
    row: dict[str, Any] = {"Id": ID, "Name": None, "Config": None, "HostConfig": [], "State": None, "LogPath": None}
    assert described(row, NODE).origin.container_name == ""


@pytest.mark.engine
def test_a_real_container_is_described_as_it_was_started(
    engine: docker.DockerClient, engine_url: str, prefix: str, test_image: str
) -> None:
    labels = {"tier": "front", "com.docker.compose.service": "Ünï \x1b[31m", "weird=": '"'}
    started = engine.containers.run(
        test_image, "sleep 60", name=f"{prefix}-real", labels=labels, tty=True, detach=True, network_mode="none",
        log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m"}))  # fmt: skip
    watched = Engine(engine_url)
    info, row = watched.info(), watched.inspect(started.id)
    watched.close()
    assert row is not None
    container = described(row, Node(info.name, info.data_root))
    assert container.log_path == Node(info.name, info.data_root).guess_log(started.id)
    assert container.origin.fields["container"] == {
        "id": started.id, "name": f"{prefix}-real", "image": {"name": test_image, "tag": ["local"]},
        "labels": labels}  # fmt: skip
    assert (container.origin.service, container.origin.node) == ("Ünï \x1b[31m", info.name)
    assert (container.tty, container.running, container.rotates_at, container.auto_remove) == (
        True,
        True,
        1_000_000,
        False,
    )
