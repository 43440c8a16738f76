"""Who is collected and who is not, and how a process in a container finds itself."""

from pathlib import Path

import docker
import pytest

from shipper.filters import Filters, own_containers
from towline.errors import UsageError

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def wants(filters: Filters, name: str = "web", **labels: str) -> bool:
    return filters.wants(ID, name, {key.replace("__", "."): value for key, value in labels.items()})


def test_everybody_is_collected_by_default() -> None:
    assert wants(Filters())


@pytest.mark.parametrize("value", ["false", "False", "FALSE", "0", "no", "off", " Off "])
def test_a_label_says_no(value: str) -> None:
    assert not wants(Filters.of(include=["*"]), towline__enable=value)


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "yes", "on"])
def test_a_label_that_says_yes_wins_over_the_globs(value: str) -> None:
    assert wants(Filters.of(exclude=["*"]), towline__enable=value)
    assert wants(Filters.of(include=["db"]), towline__enable=value)


@pytest.mark.parametrize("value", ["", "maybe", "falsey"])
def test_a_label_that_says_neither_is_no_label(value: str) -> None:
    assert wants(Filters(), towline__enable=value)
    assert not wants(Filters.of(exclude=["web"]), towline__enable=value)


def test_exclude_takes_the_containers_or_the_services_name() -> None:
    filters = Filters.of(exclude=["tmp-*", "shop_db"])
    assert not wants(filters, "tmp-1")
    assert not wants(filters, "x", com__docker__swarm__service__name="shop_db")
    assert not wants(filters, "x", com__docker__compose__service="shop_db")
    assert wants(filters, "not-tmp-1")


def test_include_leaves_out_the_others_and_exclude_wins_over_it() -> None:
    filters = Filters.of(include=["web*", "d[bc]"], exclude=["web-test"])
    assert [name for name in ("web", "web-test", "db", "dc", "dd", "aweb", "WEB") if wants(filters, name)] == [
        "web", "db", "dc"]  # fmt: skip


def test_towline_never_reads_itself_whatever_the_label_says() -> None:
    assert not wants(Filters(), towline__component="shipper", towline__enable="true")
    assert not wants(Filters(), towline__component="")
    assert not wants(Filters.of(own=[ID]), towline__enable="true")
    assert Filters.of(own=[OTHER]).wants(ID, "web", {})


@pytest.mark.parametrize("text", ["", " ", "web[", "[", "[]", "a/b", "a\nb", "a\0", "x" * 1001, "db[9-0]"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_cant_be_one_is_wrong_usage(option: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"--{option} .*write a glob"):
        Filters.of(**{option: [text]})


@pytest.mark.parametrize("text", ["*", "web-?", "[!a]x", "[]x]", "[a-z0-9]*", "ünï*", "a-b", "z-a"])
def test_a_pattern_that_is_one_is_taken(text: str) -> None:
    assert Filters.of(include=[text]).include


def test_a_hostile_name_does_not_stall_a_pattern() -> None:
    assert not wants(Filters.of(include=["*a*a*a*a*a*a*a*a*b"]), "a" * 5000)


HOST_MOUNTS = "22 28 0:21 / /sys rw - sysfs sysfs rw\n28 1 254:0 / / rw - ext4 /dev/vda rw\n"
ETC = f"600 580 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "own"),
    [
        ("12:pids:/\n0::/init.scope\n", HOST_MOUNTS, set()),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", HOST_MOUNTS, set()),
        (f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n", HOST_MOUNTS, {ID}),
        (f"12:pids:/system.slice/docker-{ID}.scope\n", "", {ID}),
        (f"0::/system.slice/docker-{ID}.scope\n", "", {ID}),
        (f"12:pids:/docker/{OTHER}/docker/{ID}\n", "", {ID, OTHER}),
        ("0::/\n", HOST_MOUNTS + ETC, {ID}),
        ("0::/\n", ETC.replace("/var/lib/docker", "/srv/d/100.100"), {ID}),
        ("12:pids:/\n", f"700 600 0:30 /docker/{ID} /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n", {ID}),
        # Another container's files, seen because the engine's folder is mounted here: not us.
        ("0::/\n", f"9 8 0:52 / /var/lib/docker/containers/{OTHER}/mounts/shm rw - tmpfs shm rw\n", set()),
        ("0::/\n", ETC.replace("/etc/hostname", f"/mnt/containers/{OTHER}/hostname"), set()),
        # --network container:OTHER mounts the other's files; the cgroup knows better.
        (f"12:pids:/docker/{ID}\n", ETC.replace(ID, OTHER), {ID}),
        ("garbage\n\n::\n", "garbage\n", set()),
    ],
)
def test_the_container_that_this_process_runs_in(tmp_path: Path, cgroup: str, mountinfo: str, own: set[str]) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text(mountinfo)
    assert own_containers(tmp_path) == own


def test_a_machine_without_proc_is_no_container(tmp_path: Path) -> None:
    assert own_containers(tmp_path) == frozenset()


@pytest.mark.engine
@pytest.mark.parametrize("source", ["cgroup", "mountinfo"])
def test_a_real_container_with_another_host_name_finds_itself(
    engine: docker.DockerClient, prefix: str, test_image: str, tmp_path: Path, source: str
) -> None:
    container = engine.containers.run(
        test_image, f"cat /proc/self/{source}", name=f"{prefix}-own", hostname="elsewhere", detach=True,
        network_mode="none")  # fmt: skip
    container.wait()
    (tmp_path / source).write_bytes(container.logs())
    assert own_containers(tmp_path) == {container.id}
