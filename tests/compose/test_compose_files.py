"""compose.yml, stack.yml and their overlays: the tools accept them, and everything that they name is there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from towline.config import SETTINGS

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
OVERLAYS = ("ui", "rabbitmq-cluster", "elasticsearch-cluster")
STACKS = [("stack",), ("stack", "ui"), ("stack", "rabbitmq-cluster", "elasticsearch-cluster"), ("stack", *OVERLAYS)]
PROGRAMS = ("towline", "haproxy", "rabbitmq", "elasticsearch", "kibana", "prom/prometheus", "prom/alertmanager",
            "grafana/grafana", "prometheuscommunity/elasticsearch-exporter")  # fmt: skip
Service = dict[str, Any]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Path:
    """What init.py makes."""
    if not shutil.which("openssl"):
        missing_part("no openssl")
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([sys.executable, str(COMPOSE / "init.py"), str(folder)], check=True, capture_output=True)
    return folder


def merged(secrets: Path, files: tuple[str, ...], missing_part: Callable[[str], NoReturn]) -> dict[str, Any]:
    """A stack of these files, as `docker stack deploy` takes it."""
    if subprocess.run(["docker", "stack", "config", "--help"], capture_output=True, check=False).returncode != 0:
        missing_part("this docker client has no `stack config`")
    arguments = [part for file in files for part in ("-c", str(COMPOSE / f"{file}.yml"))]
    done = subprocess.run(["docker", "stack", "config", *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, "SECRETS": str(secrets)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


@pytest.fixture(scope="module", params=STACKS, ids="+".join)
def stack(request: pytest.FixtureRequest, secrets: Path, missing_part: Callable[[str], NoReturn]) -> dict[str, Any]:
    return merged(secrets, request.param, missing_part)


def composed(missing_part: Callable[[str], NoReturn], *more: Path) -> dict[str, Any]:
    """compose.yml and what is over it, by the plugin where it is here, else by Debian's docker-compose."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    command = ["docker", "compose"] if plugin else ["docker-compose"]
    if not plugin and not shutil.which("docker-compose"):
        missing_part("neither docker compose nor docker-compose: make servers")
    files = [word for path in (COMPOSE / "compose.yml", *more) for word in ("-f", str(path))]
    done = subprocess.run([*command, *files, "config"], capture_output=True, text=True, check=False, cwd=COMPOSE)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


@pytest.fixture(scope="module")
def compose(missing_part: Callable[[str], NoReturn]) -> dict[str, Any]:
    """compose.yml, as `docker compose up` takes it."""
    return composed(missing_part)


def mounts(service: Service) -> Iterator[tuple[str, str, str]]:
    """Type, source and target of each mount of a service, in either way to write it."""
    for mount in service.get("volumes", []):
        if isinstance(mount, dict):
            yield mount["type"], mount["source"], mount["target"]
        else:
            source, target = mount.split(":")[:2]
            yield ("bind" if source.startswith(("/", ".")) else "volume"), source, target


def settings(service: Service) -> dict[str, str]:
    return {
        name: str(value) for name, value in (service.get("environment") or {}).items() if name.startswith("TOWLINE_")
    }


def is_declared(name: str) -> bool:
    return any(name == each.variable or (each.in_file and name == f"{each.variable}_FILE") for each in SETTINGS)


def check_service(name: str, service: Service, whole: dict[str, Any]) -> None:
    """What both kinds of file have in common."""
    image, _, tag = service["image"].rpartition(":")
    assert image in PROGRAMS
    assert re.match(r"v?\d+\.\d+\.\d+", tag), f"{name}: {service['image']} is no pinned version"
    assert [*service["cap_drop"]] == ["ALL"], name
    for setting in settings(service):
        assert is_declared(setting), f"{name}: nothing is set by {setting}"
    for network in service.get("networks") or ():
        assert network in whole["networks"], f"{name}: {network}"
    for kind, source, _ in mounts(service):
        if kind == "volume":
            assert source in whole["volumes"], f"{name}: {source}"
        elif Path(source).is_relative_to(ROOT):
            assert Path(source).exists(), f"{name}: {source}"
    for other in service.get("depends_on") or ():
        assert other in whole["services"], f"{name}: {other}"


def named_secrets(service: Service) -> set[str]:
    """The files of /run/secrets that the settings name."""
    return set(re.findall(r"/run/secrets/([\w.-]+)", str([service.get("environment"), service.get("command")])))


def test_all_that_a_stack_names_is_there(stack: dict[str, Any], secrets: Path) -> None:
    for kind in ("configs", "secrets"):
        for name, row in stack[kind].items():
            assert Path(row["file"]).is_file(), f"{kind} {name}"
            assert Path(row["file"]).stat().st_size < 500_000, f"{kind} {name}: more than a Swarm takes"
    for name, service in stack["services"].items():
        check_service(name, service, stack)
        for kind in ("configs", "secrets"):
            for row in service.get(kind, []):
                assert row["source"] in stack[kind], f"{name}: {row}"
        given = {row["target"].removeprefix("/run/secrets/") for row in service.get("secrets", [])}
        assert named_secrets(service) <= given, name
        assert "limits" in service["deploy"]["resources"], name


def test_nothing_of_a_stack_is_left_over(secrets: Path, missing_part: Callable[[str], NoReturn]) -> None:
    """With all overlays, every config, secret, volume and network is used by somebody."""
    whole = merged(secrets, ("stack", *OVERLAYS), missing_part)
    services = whole["services"].values()
    for kind in ("configs", "secrets"):
        assert {row["source"] for service in services for row in service.get(kind, [])} == whole[kind].keys()
    assert {each for service in services for each in service["networks"]} == whole["networks"].keys()
    assert {source for s in services for kind, source, _ in mounts(s) if kind == "volume"} == whole["volumes"].keys()


def test_what_prometheus_is_told_to_scrape_listens_there(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        labels = service.get("deploy", {}).get("labels") or {}
        listens = settings(service).get("TOWLINE_LISTEN")
        if labels.get("prometheus.io/scrape") == "true":
            assert "monitor" in service["networks"], name
            assert listens in (None, f":{labels['prometheus.io/port']}"), name


def test_an_update_of_a_stack_loses_nothing(stack: dict[str, Any]) -> None:
    """Never two shippers on a node; they and the indexers get time to hand over what they have."""
    services = stack["services"]
    assert services["shipper"]["deploy"]["mode"] == "global"
    assert services["shipper"]["deploy"]["update_config"]["order"] == "stop-first"
    assert services["shipper"]["stop_grace_period"] == "1m0s"
    assert ("volume", "shipper", "/var/lib/towline") in mounts(services["shipper"])
    assert services["indexer"]["deploy"]["replicas"] == 2
    assert services["indexer"]["deploy"]["update_config"]["order"] == "start-first"


def test_only_the_proxy_has_the_engines_socket(stack: dict[str, Any], compose: dict[str, Any]) -> None:
    for whole in (stack, compose):
        holders = {name for name, service in whole["services"].items() for _, source, _ in mounts(service)
                   if source.endswith("docker.sock")}  # fmt: skip
        assert holders == {"engine-proxy"}


def test_all_that_the_compose_file_names_is_there(compose: dict[str, Any]) -> None:
    assert {"init", "kibana", "grafana", "kibana-import"} <= compose["services"].keys()
    for name, service in compose["services"].items():
        check_service(name, service, compose)
        assert service["mem_limit"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    services = compose["services"].values()
    assert {source for s in services for kind, source, _ in mounts(s) if kind == "volume"} == compose["volumes"].keys()


def test_each_service_of_the_compose_file_gets_its_own_secrets(compose: dict[str, Any], secrets: Path) -> None:
    """init.py fills a folder for each; what a service names is in the one that it mounts, and in no other's."""
    made = {Path(target).name: source for _, source, target in mounts(compose["services"]["init"])}
    assert made.keys() == {path.name for path in secrets.iterdir()}
    for name, service in compose["services"].items():
        if name == "init":
            continue
        folders = [source.removeprefix("towline_").removesuffix("-secrets") for _, source, _ in mounts(service)
                   if source.endswith("-secrets")]  # fmt: skip
        assert len(folders) <= 1, name
        for file in named_secrets(service):
            assert (secrets / folders[0] / file).is_file(), f"{name}: {file}"


def test_the_example_of_another_store_fits_the_compose_file(
    tmp_path: Path, secrets: Path, missing_part: Callable[[str], NoReturn]
) -> None:
    (example,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", (COMPOSE / "README.md").read_text())
    (tmp_path / "archive.yml").write_text(example.replace("./archive", f"{tmp_path}/archive"))
    whole = composed(missing_part, tmp_path / "archive.yml")
    service = whole["services"]["indexer-archive"]
    check_service("indexer-archive", service, whole)
    assert service["command"] == ["index", "--store-name", "archive"]
    own = settings(whole["services"]["indexer"])
    assert settings(service)["TOWLINE_QUEUE"] == own["TOWLINE_QUEUE"]
    for file in named_secrets(service):
        assert (secrets / "indexer" / file).is_file(), file


def test_the_compose_files_ports_are_this_machines_own(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            shown = port if isinstance(port, str) else f"{port.get('host_ip')}:{port['published']}:{port['target']}"
            assert shown.startswith("127.0.0.1:"), f"{name}: {shown}"
            assert any(network == "front" for network in service["networks"]), name


def test_prometheus_of_the_compose_file_scrapes_services_where_they_listen(compose: dict[str, Any]) -> None:
    known = {"rabbitmq": "15692", "elasticsearch-exporter": "9114", "alertmanager": "9093", "localhost": "9090"}
    known |= {name: settings(service)["TOWLINE_LISTEN"].strip(":") for name, service in compose["services"].items()
              if "TOWLINE_LISTEN" in settings(service)}  # fmt: skip
    told = yaml.safe_load((COMPOSE / "prometheus/compose.yml").read_text())["scrape_configs"]
    targets = [target for job in told for row in job["static_configs"] for target in row["targets"]]
    assert len(targets) == 7
    for target in targets:
        host, _, port = target.partition(":")
        assert known[host] == port
        assert host == "localhost" or "monitor" in compose["services"][host]["networks"]


def test_both_ways_run_the_same_versions(
    secrets: Path, compose: dict[str, Any], missing_part: Callable[[str], NoReturn]
) -> None:
    whole = merged(secrets, ("stack", *OVERLAYS), missing_part)
    used = {service["image"] for service in whole["services"].values()}
    assert used == {service["image"] for service in compose["services"].values()}


@pytest.mark.parametrize("file", ["compose", "stack"])
def test_prometheus_accepts_its_configuration(
    file: str, tmp_path: Path, missing_part: Callable[[str], NoReturn]
) -> None:
    if not shutil.which("promtool"):
        missing_part("no promtool: make servers")
    text = (COMPOSE / "prometheus" / f"{file}.yml").read_text()
    text = text.replace("/etc/prometheus/towline.rules.yml", str(ROOT / "dashboards/alerts/towline.yml"))
    (tmp_path / "prometheus.yml").write_text(text)
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def said(service: Service) -> list[list[str] | None]:
    """Its command, and its health check's."""
    return [service.get("command"), service.get("healthcheck", {}).get("test")]


def test_files_over_each_other_leave_every_command_whole(stack: dict[str, Any]) -> None:
    """`docker stack deploy` appends lists to each other, also the words of a health check."""
    files = [yaml.safe_load(path.read_text().replace("$$", "$"))["services"] for path in COMPOSE.glob("*.yml")]
    for name, service in stack["services"].items():
        written = [each for file in files if name in file for each in said(file[name])]
        assert all(each in written for each in said(service) if each), f"{name}: {said(service)}"
