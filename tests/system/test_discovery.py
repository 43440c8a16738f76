"""Which containers are read, and when: every life that a container can lead."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import Generators, Up, finished, logged, wait_until

pytestmark = pytest.mark.engine
Make = Callable[..., Up]


def expect_whole(towline: Up, generators: Generators) -> None:
    report = generators.judge(towline.collect(generators.total))
    assert report.faults == {}
    assert report.gaps == []


def test_running_before_started_after_and_stopped_before(source: str, up: Make, generators: Generators) -> None:
    stopped = generators.start("stopped", 200, streams=("stdout", "stderr"))
    finished(stopped)
    generators.start("before", 300, burst=10, pause=0.1)
    towline = up("--source", source).start()
    generators.start("after", 200, burst=50, pause=0.2, streams=("stdout", "stderr"))
    expect_whole(towline, generators)


def test_started_again_after_its_end(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    container = generators.start("again", 150, account=False)
    finished(container)
    for _ in range(3):
        container.start()
        finished(container)
    generators.note(container, 4 * 150)
    expect_whole(towline, generators)


def test_stopped_and_restarted_in_the_middle(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    script = (
        'trap "echo going; exit 0" TERM; echo started; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.02; done'
    )
    container = generators.shell("restarted", script, init=True)
    wait_until(lambda: len(logged(container)) > 20, 20, "it writes")
    container.restart(timeout=5)
    wait_until(lambda: logged(container).count("started") == 2, 20, "it writes again")
    container.stop(timeout=5)
    said = logged(container)
    rows = towline.collect(len(said))
    assert [row["message"] for row in sorted(rows, key=lambda row: row["event"]["sequence"])] == said


def indexed(towline: Up, generators: Generators, name: str) -> float:
    """Lines of a container in the store, told faster than a search could."""
    return towline.ledger()[f"{generators.prefix}-{name}"]["indexed"]


def test_paused_and_unpaused(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    container = generators.start("paused", 400, burst=10, pause=0.3)
    wait_until(lambda: indexed(towline, generators, "paused"), 30, "lines before the pause")
    container.pause()
    generators.start("other", 50)
    wait_until(lambda: len(towline.search("--container", f"{generators.prefix}-other")) == 50, 30, "another goes on")
    container.unpause()
    expect_whole(towline, generators)


def test_renamed_while_it_writes(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    container = generators.start("old", 400, burst=10, pause=0.2)
    wait_until(lambda: indexed(towline, generators, "old"), 30, "lines under the old name")
    container.rename(f"{generators.prefix}-new")
    expect_whole(towline, generators)
    assert towline.search("--container", f"{generators.prefix}-new"), "lines after the renaming bear the new name"


def test_removed_by_force_while_it_writes(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; echo last; sleep 600"
    container = generators.shell("removed", script)
    wait_until(lambda: "last" in logged(container), 20, "it has written all")
    if source == "api":  # once it is gone, the engine has nothing more to give; an open file has
        wait_until(lambda: towline.metric("towline_lines_read_total") >= 301, 30, "it has been asked for all")
    container.remove(force=True)
    rows = towline.collect(301)
    assert [row["message"] for row in rows] == [*(f"line {i}" for i in range(1, 301)), "last"]


def test_removed_at_its_end(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    generators.start("rm", 500, burst=100, pause=0.1, auto_remove=True)
    expect_whole(towline, generators)


def test_left_out_by_label_and_by_pattern(up: Make, generators: Generators) -> None:
    prefix = generators.prefix
    towline = up("--exclude", f"{prefix}-noise*").start()
    generators.shell("label", "echo secret", labels={"towline.enable": "false"})
    generators.shell("noise1", "echo secret")
    generators.shell("wanted", "echo welcome")
    wait_until(towline.search, 30, "the wanted line")
    towline.quiet()
    assert [row["message"] for row in towline.search()] == ["welcome"]


def test_include_picks_what_is_collected(up: Make, generators: Generators) -> None:
    prefix = generators.prefix
    towline = up("--include", f"{prefix}-yes*", include="").start()
    generators.shell("no", "echo secret")
    generators.shell("yes1", "echo welcome")
    wait_until(towline.search, 30, "the wanted line")
    towline.quiet()
    assert [row["message"] for row in towline.search()] == ["welcome"]


def test_the_service_is_that_of_compose_where_there_is_one(up: Make, generators: Generators) -> None:
    towline = up().start()
    labels = {"com.docker.compose.service": "shop", "com.docker.swarm.task": "x", "com.docker.swarm.task.id": "y"}
    generators.shell("web", "echo hello", labels=labels)
    (row,) = wait_until(lambda: towline.search("--service", "shop"), 30, "the service's line")
    assert row["service"]["name"] == "shop"
    assert row["container"]["name"] == f"{generators.prefix}-web"
    assert row["container"]["image"]["name"] == "towline-demo:local"


def test_a_container_that_is_towline_is_not_read(up: Make, generators: Generators) -> None:
    """A container whose process is this very `towline up`, as its host name or cgroup tells, can't be made here; what
    can be: its label."""
    towline = up().start()
    generators.shell("towline", "echo mine", labels={"towline.enable": "false"})
    generators.shell("other", "echo welcome")
    wait_until(towline.search, 30, "the other line")
    assert [row["message"] for row in towline.search()] == ["welcome"]


@pytest.mark.parametrize("auto_remove", [False, True], ids=["kept", "rm"])
def test_150_containers_that_live_under_a_second(
    auto_remove: bool, source: str, up: Make, generators: Generators
) -> None:
    short_lives(150, auto_remove, source, up, generators)


@pytest.mark.soak
@pytest.mark.parametrize("auto_remove", [False, True], ids=["kept", "rm"])
def test_1000_containers_that_live_under_a_second(
    auto_remove: bool, source: str, up: Make, generators: Generators
) -> None:
    short_lives(1000, auto_remove, source, up, generators)


def short_lives(count: int, auto_remove: bool, source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:
        started = [pool.submit(generators.start, f"s{i}", 10, auto_remove=auto_remove) for i in range(count)]
        for each in started:
            each.result()
    refusing = source == "api" and auto_remove
    rows = towline.collect(generators.total, 20 if refusing else 60)
    report = generators.judge(rows)
    refused = int(towline.metric("towline_containers_unreadable_total"))
    print(f"{source}, --rm {auto_remove}: {len(report.lost)} of {count} logs lost, {refused} counted as refused")
    if refusing:
        # The engine itself refuses the log of a container that is being removed: all or nothing, and counted.
        assert all(text.endswith("lines 1-10") for text in report.lost)
        assert len(report.lost) <= refused <= count // 2
        report.lost.clear()
    assert report.faults == {}
