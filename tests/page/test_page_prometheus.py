"""`towline page --prometheus`: charts, marks and states from a real Prometheus that scrapes a real `towline export`."""

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests/ has no __init__.py

import docker
from page_screen import Screen
from prometheus_world import BUSY, HUNGRY, World, until

HASH = "com.docker.compose.config-hash"


@pytest.fixture(scope="module")
def world(
    engine_url: str, test_image: str, missing_part: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    if shutil.which("prometheus") is None:
        missing_part("no prometheus; scripts/bootstrap.sh servers")
    client = docker.DockerClient(base_url=engine_url)
    folder = tmp_path_factory.mktemp("prom")
    prefix = f"prom{uuid.uuid4().hex[:8]}"
    second = f"{prefix}:2"
    client.images.get(test_image).tag(prefix, "2")
    made = World(folder, client, engine_url, test_image, prefix)
    try:
        until(lambda: made.api(made.page, "by=node")["groups"], made.page.said)
        with ThreadPoolExecutor(5) as pool:
            for done in [pool.submit(*each) for each in work(made, second)]:
                done.result()
        yield made
    finally:
        made.close()
        for row in client.api.containers(all=True, filters={"name": prefix}):
            client.api.remove_container(row["Id"], force=True)
        client.images.remove(second)
        client.close()


def work(made: World, second: str) -> list[tuple[Any, ...]]:
    """What happens to containers: two are deployed again, one needs more memory than it may, one fails."""

    def again(name: str, **changed: Any) -> None:
        made.run(name, "sleep", "300", labels={HASH: "1"}).remove(force=True)
        made.run(name, "sleep", "300", **{"labels": {HASH: "1"}, **changed})

    return [
        (made.run, "web", "sh", "-c", BUSY), (partial(again, image=second), "api"),
        (partial(again, labels={HASH: "2"}), "set"), (partial(made.run, mem_limit="8m"), "hungry", "sh", "-c", HUNGRY),
        (made.run, "fails", "sh", "-c", "sleep 0.1; exit 3"),
    ]  # fmt: skip


@pytest.fixture
def screen(browser: Any, world: World) -> Iterator[Screen]:
    yield Screen(browser, world.page.url)
    browser.get("about:blank")
    browser.get_log("browser")


@pytest.mark.engine
def test_what_happened_is_told_as_towline_up_tells_it(world: World) -> None:
    wanted = {
        ("web", "started", world.image), ("api", "deployed", f"{world.prefix}:2"), ("set", "deployed", world.image),
        ("hungry", "started", world.image), ("hungry", "oom", ""), ("hungry", "stopped", "137"),
        ("fails", "started", world.image), ("fails", "stopped", "3"),
    }  # fmt: skip
    until(lambda: wanted <= set(world.happened(world.up, "")), lambda: str(world.happened(world.up, "")))

    def same() -> bool:
        return all(sorted(world.happened(world.page, query)) == sorted(world.happened(world.up, query))
                   for query in ("", f"by=service&service={world.prefix}-api"))  # fmt: skip

    until(same, lambda: f"{world.happened(world.page, '')} {world.happened(world.up, '')}")
    times = {each["id"] + each["what"]: each["time"] for each in world.api(world.up, "")["happened"]}
    for each in world.api(world.page, "")["happened"]:
        if each["container"].startswith(world.prefix):
            allowed = 5 if each["what"] == "oom" else 0.5
            assert each["time"] == pytest.approx(times[each["id"] + each["what"]], abs=allowed)


@pytest.mark.engine
def test_charts_marks_and_the_list_are_drawn_from_prometheus(world: World, screen: Screen) -> None:
    web = f"{world.prefix}-web"
    until(lambda: sum(value is not None for group in world.api(world.page, f"service={web}")["groups"]
                      for value in group["series"]["cpu"]) > 2)  # fmt: skip
    screen.open(f"?view=metrics&service={web}")
    screen.until(lambda: "cores" in screen.texts("#metrics figcaption .told")[0])
    assert screen.texts("#metrics h2") == [web]
    screen.until(lambda: len(screen.driver.find_elements("css selector", ".frame .mk.k-started")) == 5)
    used, memory, _, disk = screen.texts("#metrics figcaption .told")
    assert float(used.split()[0]) > 0
    assert "MB" in memory or "KB" in memory
    assert "written" in disk
    drawn = screen.js("return [...document.querySelectorAll('#metrics path')].map((each) => each.getAttribute('d'))")
    assert [bool(each) for each in drawn] == [True, True, False, False, True, True]  # it has no network
    screen.until(lambda: "running" in screen.find(f".service[data-service='{web}'] small").text)
    spark = screen.find(f".service[data-service='{web}'] svg.cpu")
    assert "cores" in (spark.get_attribute("aria-label") or "")
    screen.until(lambda: "at work" in screen.texts())
    screen.open(f"?view=metrics&service={world.prefix}-api")
    screen.until(lambda: any(f"deployed: {world.prefix}:2" in text for text in screen.texts(".changes button")))
    screen.until(lambda: "exited" in screen.find(f".service[data-service='{world.prefix}-fails'] small").text)


@pytest.mark.engine
def test_the_chosen_nodes_are_summed(world: World, screen: Screen) -> None:
    screen.open("?view=metrics")
    screen.until(lambda: screen.texts("#metrics h2") == ["All nodes"])
    screen.until(lambda: any("out of memory" in text for text in screen.texts(".changes button")))
    screen.open("?view=metrics&node=two")
    screen.until(lambda: screen.texts("#metrics h2") == ["two"] and "cores" in screen.texts("#metrics .told")[0])
    screen.open("?view=metrics&node=elsewhere")
    screen.until(lambda: "Prometheus has no numbers of these" in screen.find("#metrics").text)


@pytest.mark.engine
def test_a_container_is_counted_once_and_each_node_as_it_is(world: World) -> None:
    def memory(query: str) -> float:
        groups = world.api(world.page, f"series=memory&{query}")["groups"]
        return max((value or 0.0 for group in groups for value in group["series"]["memory"]), default=0.0)

    def nearly(query: str, other: str, times: int = 1) -> bool:
        found = memory(query)
        return found > 0 and found == pytest.approx(times * memory(other), rel=0.1)

    still = f"service={world.prefix}-set&until=now"
    until(lambda: nearly(f"by=service&{still}", f"by=service&{still}&node=two"))
    until(lambda: nearly("by=node", "by=node&node=two", times=2))


@pytest.mark.engine
def test_names_that_look_like_a_query_choose_nothing(world: World) -> None:
    for name in ("%22%7D%20or%20%7Bid%3D~%22.%2B", "a%5C%22%0A%00%7B%7D", ".*", "%F0%9F%98%80%7C.*&service=.%2B"):
        assert world.api(world.page, f"service={name}")["groups"] == []


@pytest.mark.engine
def test_a_prometheus_that_goes_is_told_of_beside_the_lines_and_comes_back(world: World, screen: Screen) -> None:
    world.prometheus.stop()
    screen.open(f"?view=metrics&service={world.prefix}-web")
    screen.until(lambda: "can't be reached: Connection refused; is it running?" in screen.find("#metrics").text)
    screen.until(lambda: "at work" in screen.texts())
    assert not screen.find("#trouble").is_displayed()
    screen.until(lambda: screen.find(f".service[data-service='{world.prefix}-web']"))
    world.start_prometheus()
    screen.until(lambda: screen.texts("#metrics figure"), 60)
