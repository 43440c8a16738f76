"""Labels of services -> what Prometheus is told; each thing that somebody may write wrong is named, not obeyed."""

from typing import Any

import pytest

from exporters.swarm import Swarm, read
from exporters.swarm_metrics import Failures, of_services
from exporters.targets import Unusable, found_targets, seconds, wished

ASKED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}


def swarm(labels: dict[str, str], *tasks: dict[str, Any], mode: dict[str, Any] | None = None) -> Swarm:
    """A service "shop_web" on a node at 10.0.0.9, in the engine's words."""
    spec = {"Name": "shop_web", "Labels": labels, "Mode": mode or {"Replicated": {"Replicas": 2}}}
    node = {"ID": "n1", "Status": {"State": "ready", "Addr": "10.0.0.9"}, "Description": {"Hostname": "one"}}
    return read([{"ID": "s1", "Spec": spec}], tasks, [node])


def task(number: int = 1, state: str = "running", **more: Any) -> dict[str, Any]:
    return {"ID": f"t{number}", "ServiceID": "s1", "NodeID": "n1", "Slot": number, "DesiredState": "running",
            "Status": {"State": state}} | more  # fmt: skip


def network(name: str, address: str, **spec: Any) -> dict[str, Any]:
    return {"Network": {"Spec": {"Name": name, **spec}}, "Addresses": [f"{address}/24"]}


def addresses(found: Swarm, usual: str = "") -> list[str]:
    return [group["targets"][0] for group in found_targets(found, usual)[0]]


def test_the_ingress_is_no_way_to_a_single_task() -> None:
    attached = [network("ingress", "10.255.0.4", Ingress=True), network("monitor", "10.0.1.4")]
    assert addresses(swarm(ASKED, task(NetworksAttachments=attached))) == ["10.0.1.4:8080"]
    only = swarm(ASKED, task(NetworksAttachments=attached[:1]))
    assert addresses(only) == []
    assert [name for name, _ in found_targets(only)[1]] == ["shop_web"]


def test_the_network_that_is_named_wins_over_the_usual_one_and_that_over_the_first() -> None:
    attached = [network(f"shop_{name}", address) for name, address in [("a", "10.1.0.2"), ("b", "10.2.0.2")]]
    one = task(NetworksAttachments=attached)
    assert addresses(swarm(ASKED, one)) == ["10.1.0.2:8080"]
    assert addresses(swarm(ASKED, one), "b") == ["10.2.0.2:8080"]
    assert addresses(swarm(ASKED | {"prometheus.io/network": "a"}, one), "b") == ["10.1.0.2:8080"]
    assert addresses(swarm(ASKED, one), "elsewhere") == []


def test_a_port_of_the_node_is_its_own_not_that_of_the_task() -> None:
    port = {"TargetPort": 8080, "PublishedPort": 32768, "PublishMode": "host", "Protocol": "tcp"}
    one = task(Status={"State": "running", "PortStatus": {"Ports": [port]}})
    assert addresses(swarm(ASKED, one)) == ["10.0.0.9:32768"]


def test_only_tasks_that_run_are_targets_and_several_ports_are_several() -> None:
    on = {"NetworksAttachments": [network("m", "fd00::4")]}
    found = swarm(ASKED | {"prometheus.io/port": "80, 90"}, task(1, **on), task(2, "starting", **on))
    assert addresses(found) == ["[fd00::4]:80", "[fd00::4]:90"]


def test_settings_become_what_prometheus_calls_them() -> None:
    more = {"path": "stats", "interval": "1m30s", "timeout": "5", "scheme": "HTTPS", "job": "shop"}
    wish = wished(swarm(ASKED | {f"prometheus.io/{name}": text for name, text in more.items()}).services["s1"])
    assert wish is not None
    assert wish.labels == {"job": "shop", "__metrics_path__": "/stats", "__scheme__": "https",
                           "__scrape_interval__": "1m30s", "__scrape_timeout__": "5s"}  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"com.df.scrapePort": "80"}, True),
        ({"com.df.scrapePort": "80", "com.df.notify": "true"}, True),
        ({"com.df.scrapePort": "80", "com.df.notify": "false"}, False),
        ({"com.df.scrapePort": "80", "prometheus.io/scrape": "false"}, False),
        ({"com.df.notify": "true", "com.df.servicePath": "/"}, False),
        ({"prometheus.io/port": "80"}, False),
        ({}, False),
    ],
)
def test_who_asks_to_be_scraped(labels: dict[str, str], wanted: bool) -> None:
    assert (wished(swarm(labels).services["s1"]) is not None) == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": ""}, {"port": "http"}, {"port": "0"}, {"port": "65536"}, {"port": "80,"}, {"port": "８０"},
        {"scheme": "file"}, {"interval": "often"}, {"interval": "0s"}, {"timeout": "-1s"},
        {"interval": "5s", "timeout": "10s"},
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_and_no_target(wrong: dict[str, str]) -> None:
    labels = ASKED | {f"prometheus.io/{name}": text for name, text in wrong.items()}
    found = swarm(labels, task(NetworksAttachments=[network("m", "10.0.0.4")]))
    with pytest.raises(Unusable):
        wished(found.services["s1"])
    assert found_targets(found)[0] == []
    assert sum(found_targets(found)[1].values()) == 1


@pytest.mark.parametrize(("text", "length"), [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200)])
def test_durations(text: str, length: float) -> None:
    assert seconds(text) == length


def bodies(found: Swarm, failures: Failures) -> str:
    return b"".join(family.body for family in of_services(found, failures.counts)).decode()


def test_a_task_that_failed_is_counted_once_and_old_failures_not() -> None:
    failures = Failures()
    failures.look(swarm({}, task(1, "failed")))
    failures.look(swarm({}, task(1, "failed"), task(2, "failed"), task(3, "rejected")))
    failures.look(swarm({}, task(2, "failed"), task(3, "rejected")))
    text = bodies(swarm({}), failures)
    assert 'swarm_service_task_failures_total{service="shop_web",stack="",state="failed"} 1\n' in text
    assert 'swarm_service_task_failures_total{service="shop_web",stack="",state="rejected"} 1\n' in text


def test_a_global_service_wants_a_task_on_each_node_and_a_job_wants_none_for_good() -> None:
    text = bodies(swarm({}, task(1), task(2, "starting"), mode={"Global": {}}), Failures())
    assert 'replicas_desired{service="shop_web",stack=""} 2\n' in text
    assert 'replicas_running{service="shop_web",stack=""} 1\n' in text
    assert "replicas" not in bodies(swarm({}, task(1, "complete"), mode={"ReplicatedJob": {}}), Failures())


def test_rows_that_are_not_as_documented_do_no_harm() -> None:
    assert found_targets(read([{}], [{}], [{}])) == ([], {})
    strange = read([{"ID": 1, "Spec": None}], [{"Status": [], "NetworksAttachments": None}], [{"Status": "?"}])
    assert found_targets(strange)[0] == []
