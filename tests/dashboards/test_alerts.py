"""The rules: tried by promtool, explained in the README, delivered by the real Prometheus and Alertmanager."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ports import free_port
from world import World, until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "dashboards/alerts/towline.yml"
OLD_NAMES = ROOT / "dashboards/rules/old-node-names.yml"
README = (ROOT / "dashboards/README.md").read_text()
CASES = Path(__file__).parent / "alerts.yml"
ALERTS = RULES.read_text().split("- alert: ")[1:]
"""The text of each rule; the first line is its name."""


def name_of(rule: str) -> str:
    return rule.split("\n", 1)[0]


def text_of(rule: str, key: str) -> str:
    (found,) = re.findall(rf"(?m)^\s+{key}: (.*)$", rule)
    return str(found).strip("\"'")


@pytest.fixture(autouse=True)
def tools(missing_part: Callable[[str], NoReturn]) -> None:
    for tool in ("prometheus", "promtool", "prometheus-alertmanager"):
        if shutil.which(tool) is None:
            missing_part(f"no {tool}; scripts/bootstrap.sh servers")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))
    assert "15 rules found" in promtool("check", "rules", str(OLD_NAMES))


def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", str(CASES))


def test_each_alert_has_a_case_that_fires() -> None:
    fire = re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", CASES.read_text())
    assert set(fire) == set(map(name_of, ALERTS))


@pytest.mark.parametrize("rule", ALERTS, ids=name_of)
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: str) -> None:
    assert re.search(r"labels: \{severity: (critical|warning)\}", rule)
    assert text_of(rule, "summary")
    assert text_of(rule, "description").endswith(".")
    assert text_of(rule, "runbook_url") == f"dashboards/README.md#{name_of(rule).lower()}"
    assert re.search(rf"(?m)^#### {name_of(rule)}\n\S", README), "explain it in dashboards/README.md"


@pytest.mark.engine
@pytest.mark.timeout(400)
def test_alerts_ask_for_metrics_that_there_are(world: World) -> None:
    rules = until(lambda: world.rules(), 60)
    assert {rule["name"] for rule in rules} == set(map(name_of, ALERTS))
    for rule in rules:
        bare = re.sub(r'"[^"]*"|by \([^)]*\)', "", rule["query"])
        metrics = {word.removesuffix("_bucket") for word in re.findall(r"\b(?:swarm|container|node|towline)_\w+", bare)}
        assert metrics or rule["query"] == "up == 0"
        until(lambda metrics=metrics: metrics <= world.names(), 30, lambda metrics=metrics: str(metrics))
        until(lambda rule=rule: world.rule(rule["name"])["health"] == "ok", 30, lambda rule=rule: rule["name"])


# --- the way to a person


class Webhook(HTTPServer):
    """Takes what Alertmanager posts."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Taker)


class Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.alerts += body["alerts"]  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Nothing to stderr."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., None]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (tmp_path / f"{command[0]}.log").open("wb") as log:
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=tmp_path))

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(30)


def hastened(folder: Path) -> str:
    """The rules, without the minutes that they wait."""
    path = folder / "rules.yml"
    path.write_text(re.sub(r"(?m)^(\s+for:) .*$", r"\1 1s", RULES.read_text()))
    return str(path)


def test_an_alert_reaches_a_webhook(webhook: Webhook, started: Callable[..., None], tmp_path: Path) -> None:
    """A target that nobody answers at is down, and there are no metrics at all."""
    alertmanager, prometheus, nobody = free_port(), free_port(), free_port()
    receiver = {"name": "hook", "webhook_configs": [{"url": f"http://127.0.0.1:{webhook.server_port}/"}]}
    route = {"receiver": "hook", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s"}
    (tmp_path / "alertmanager.yml").write_text(json.dumps({"route": route, "receivers": [receiver]}))
    started("prometheus-alertmanager", f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/am",
            f"--web.listen-address=127.0.0.1:{alertmanager}", "--cluster.listen-address=")  # fmt: skip
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [hastened(tmp_path)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [{"job_name": "export", "static_configs": [{"targets": [f"127.0.0.1:{nobody}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    started("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{prometheus}")  # fmt: skip
    names = lambda: {alert["labels"]["alertname"] for alert in webhook.alerts}  # noqa: E731
    until(lambda: names() >= {"TargetDown", "NoMetrics"}, 200, lambda: str(webhook.alerts))
    assert names() == {"TargetDown", "NoMetrics"}
    (down, *_) = [alert for alert in webhook.alerts if alert["labels"]["alertname"] == "TargetDown"]
    assert down["labels"]["severity"] == "warning"
    assert down["annotations"]["summary"] == f"export on 127.0.0.1:{nobody} can't be scraped"
    assert down["status"] == "firing"
