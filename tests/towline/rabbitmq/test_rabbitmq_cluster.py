"""Three real nodes, all named in the URL: whichever of them goes, publisher and consumer go on with the others."""

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rabbitmq_server import Load, Server, make, trouble, until

from towline.queues import Queue, amqp_publisher

Open = Callable[..., Queue]


class Cluster:
    """Nodes that are members of one cluster; `url` names them all."""

    def __init__(self, folder: Path, size: int) -> None:
        self.nodes = [Server(folder / f"node{number}", 0) for number in range(size)]
        for node in self.nodes:
            node.folder.mkdir(parents=True)
            cookie = node.folder / ".erlang.cookie"
            cookie.write_text("TOWLINETESTCLUSTER")
            cookie.chmod(0o400)
            # A node that is frozen is given up soon, and joins again by itself.
            (node.folder / "extra.conf").write_text("net_ticktime = 5\ncluster_partition_handling = pause_minority\n")
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, self.nodes))
        for node in self.nodes[1:]:
            node.ctl("stop_app")
            node.ctl("join_cluster", self.names[0])
            node.ctl("start_app")
        places = ",".join(node.url.partition("@")[2].rstrip("/") for node in self.nodes)
        self.url = f"amqp://guest:guest@{places}/"

    @property
    def names(self) -> list[str]:
        return [f"towline-{(node.folder / 'port').read_text().strip()}@localhost" for node in self.nodes]

    def running(self) -> list[Server]:
        return [node for node in self.nodes if (node.folder / "pid").exists()]

    def formed(self) -> bool:
        """Whether all nodes are there; a new queue has members only on those that are."""
        return self._ask("eval", "length(rabbit_mnesia:cluster_nodes(running)).") == str(len(self.nodes))

    def _ask(self, *question: str) -> str:
        """The answer of the first node that works."""
        for node in self.running():
            try:
                return node.ctl(*question)
            except AssertionError:
                continue
        return "[]"

    def members(self, name: str) -> tuple[str, list[str]]:
        """The leader of a test's queue, and its members that are up."""
        rows = self._ask("list_queues", "name", "leader", "online", "--formatter", "json")
        row = next((row for row in json.loads(rows) if row["name"] == f"{name}.logs"), {})
        return row.get("leader", ""), row.get("online", [])

    def whole(self, name: str) -> bool:
        return len(self.members(name)[1]) == len(self.nodes)

    def leader(self, name: str) -> Server:
        return self.nodes[self.names.index(self.members(name)[0])]

    def close(self) -> None:
        for node in self.nodes:
            node.run("kill")


@pytest.fixture(scope="module")
def cluster(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`server` says whether RabbitMQ is here at all."""
    own = Cluster(tmp_path_factory.mktemp("cluster"), 3)
    yield own
    own.close()


@pytest.fixture
def load(cluster: Cluster, opened: Open, name: str) -> Iterator[Load]:
    until(cluster.formed, "a node has not joined again")
    load = Load(opened(cluster.url, heartbeat=2), opened(cluster.url, heartbeat=2))
    load.flows()
    until(lambda: cluster.whole(name), "the queue is not on all nodes")
    yield load
    load.close()


def all_arrived(load: Load) -> None:
    load.drain()
    until(lambda: set(load.stored) == set(range(load.offered)), "something is missing")
    assert sorted(load.confirmed) == list(range(load.offered)), "confirmed more than once"


@pytest.mark.timeout(600)  # four nodes start on two cores, and three of them once more
def test_each_node_is_killed_in_turn(cluster: Cluster, load: Load, name: str) -> None:
    """The leader first; sooner or later it is also the one that either side is connected to."""
    first = cluster.leader(name)
    for node in [first, *(each for each in cluster.nodes if each is not first)]:
        node.kill()
        load.flows()
        node.start()
        until(lambda: cluster.whole(name), "the node does not come back")
        load.flows()
    all_arrived(load)


@pytest.mark.soak
def test_the_leader_freezes(cluster: Cluster, load: Load, name: str) -> None:
    leader = cluster.leader(name)
    leader.signal(signal.SIGSTOP)
    try:
        load.flows()
    finally:
        leader.signal(signal.SIGCONT)
    until(lambda: cluster.whole(name))
    all_arrived(load)


@pytest.mark.soak
def test_without_a_majority_nothing_is_confirmed_and_that_is_told(
    cluster: Cluster, load: Load, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, seconds in (("LOOK_EVERY", 0.2), ("SLOW", 1.0)):
        monkeypatch.setattr(amqp_publisher, setting, seconds)
    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.kill, cluster.nodes[:2]))
    until(lambda: trouble(load.publishing), "not told")
    before = len(load.confirmed)
    assert not load.publishing.offer(make(0), lambda: None), "the caller's disk is safer"
    assert len(load.confirmed) == before
    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.start, cluster.nodes[:2]))
    until(lambda: cluster.whole(name))
    load.flows()
    all_arrived(load)
