"""Everything that the dashboards show, running: a Swarm with work, trouble and logs; Towline's three programs apart; a
broker, a store and their exporters; and the real Prometheus, which scrapes them all every two seconds.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "exporters"))

from ports import free_port
from swarm_manager import IMAGE, Manager, until

ROOT = Path(__file__).parents[2]
TOWLINE = [sys.executable, "-c", "from towline.cli import main; main()"]
WORK = """
mkdir -p /w; httpd -p 8000 -h /w; i=0
while [ $i -lt {rounds} ]; do i=$((i+1))
  for n in 1 2 3 4 5 6 7 8 9; do echo "GET /cart 200 round $i request $n"; done; echo "slow request in round $i" >&2
  dd if=/dev/zero of=/w/file bs=64k count=8 conv=fsync 2>/dev/null; wget -q -O /dev/null http://127.0.0.1:8000/file
  wget -q -O /dev/null http://web:8000/file; awk 'BEGIN {{for (i = 0; i < 300000; i++) s += i}}'; sleep 0.3
done; exit 3
"""
COSTLY = ("--collector", "interrupts", "--collector", "processes", "--collector", "tcpstat")
LIMITS = ("--limit-cpu", "0.2", "--limit-memory", "64m")


def ask(url: str, body: Any = None, method: str = "") -> Any:
    """The JSON that a URL answers; raises OSError where it is an error."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method or None)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


class World:
    """Started by `start`, ended by `close`. `name`: what is ours in the shared store."""

    def __init__(self, folder: Path, elasticsearch: str, name: str) -> None:
        self.folder, self.elastic, self.name = folder, elasticsearch, name
        self.ports = {
            part: free_port() for part in ("export", "ship", "index", "rabbitmq", "elasticsearch", "prometheus")
        }
        self.stream, self.letters = f"logs-docker-{name}", f"logs-towline.deadletter-{name}"
        (folder / "e").mkdir(parents=True)
        self.manager = Manager(folder / "e")

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self.ports['prometheus']}"

    # --- start

    def start(self, make_image: Any) -> None:
        make_image(self.manager.url)
        self._swarm()
        self._broker()
        self._towline()
        self._prometheus()
        until(lambda: self.count(self.stream) > 50, 120, lambda: self.manager.said("index") + self.manager.said("ship"))
        self._dead_letters()

    def _swarm(self) -> None:
        docker = self.manager.docker
        docker("swarm", "init", "--advertise-addr", "10.77.0.1")
        docker("network", "create", "-d", "overlay", "--attachable", "monitor")
        stack = "com.docker.stack.namespace=shop"
        service = (
            "service",
            "create",
            "-d",
            "--no-resolve-image",
            "--label",
            stack,
            "--container-label",
            stack,
            "--name",
        )
        docker(*service, "shop_web", "--network", "name=monitor,alias=web", "--replicas", "2", *LIMITS, "--health-cmd",
               "true", "--health-interval", "2s", IMAGE, "sh", "-c", WORK.format(rounds=99999))  # fmt: skip
        docker(*service, "shop_mail", "--restart-delay", "3s", IMAGE, "sh", "-c", "echo no route to mail; exit 1")
        docker("service", "update", "-d", "--env-add", "RETRIES=9", "shop_mail")  # only an update has a status
        docker("run", "-d", "--restart", "always", "--name", "worker", "--network", "monitor", "--memory", "64m",
               "--cpus", "0.2", "--health-cmd", "true", "--health-interval", "2s", IMAGE, "sh", "-c",
               WORK.format(rounds=10))  # fmt: skip

    def _broker(self) -> None:
        self._script("start", str(self.folder / "rabbitmq"), str(free_port()))
        plugins = self.folder / "rabbitmq/enabled_plugins"
        plugins.write_text("[rabbitmq_prometheus].\n")
        settings = f'[{{port, {self.ports["rabbitmq"]}}}, {{ip, "127.0.0.1"}}]'
        self._script("ctl", str(self.folder / "rabbitmq"), "eval",
                     f"application:load(rabbitmq_prometheus), application:set_env(rabbitmq_prometheus, tcp_config, "
                     f'{settings}), rabbit_plugins:ensure("{plugins}").')  # fmt: skip

    def _script(self, *arguments: str) -> str:
        done = subprocess.run([ROOT / "scripts/rabbitmq.sh", *arguments], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=200)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def _towline(self) -> None:
        queue = self._script("url", str(self.folder / "rabbitmq"))
        engine = ("--engine", self.manager.url)
        self.run("export", *TOWLINE, "export", "--listen", self._at("export"), *engine, *COSTLY)
        self.run("ship", *TOWLINE, "ship", "--listen", self._at("ship"), "--queue", queue, *engine, "--state",
                 str(self.folder / "state"))  # fmt: skip
        self.run("index", *TOWLINE, "index", "--listen", self._at("index"), "--queue", queue, "--store",
                 f"{self.elastic}?namespace={self.name}&refresh=1s")  # fmt: skip
        self.run("elasticsearch", "prometheus-elasticsearch-exporter", f"--es.uri={self.elastic}",
                 f"--web.listen-address={self._at('elasticsearch')}")  # fmt: skip

    def _at(self, part: str) -> str:
        return f"127.0.0.1:{self.ports[part]}"

    def run(self, name: str, *command: str) -> None:
        """A process that `close` ends."""
        os.environ["PYTHONPATH"] = str(ROOT)
        self.manager.process(list(command), name)

    def _prometheus(self) -> None:
        jobs = [{"job_name": f"towline-{part}", "honor_labels": True, "static_configs": [{"targets": [self._at(part)]}]}
                for part in ("export", "ship", "index")]  # fmt: skip
        jobs += [{"job_name": part, "honor_labels": False, "static_configs": [{"targets": [self._at(part)]}]}
                 for part in ("rabbitmq", "elasticsearch")]  # fmt: skip
        every = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
        rules = [str(ROOT / "dashboards" / name) for name in ("alerts/towline.yml", "rules/old-node-names.yml")]
        config = {"global": every, "scrape_configs": jobs, "rule_files": rules}
        path = self.folder / "prometheus.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        self.run("prometheus", "prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/data",
                 f"--web.listen-address={self._at('prometheus')}")  # fmt: skip

    def _dead_letters(self) -> None:
        """Somebody's template makes `message` a number for a while: lines are refused."""
        name = f"foreign-{self.name}"
        template = {"index_patterns": [self.stream], "priority": 900, "data_stream": {},
                    "template": {"mappings": {"properties": {"message": {"type": "long"}}}}}  # fmt: skip
        ask(f"{self.elastic}/_index_template/{name}", template, "PUT")
        try:
            ask(f"{self.elastic}/{self.stream}/_rollover", {}, "POST")
            until(lambda: self.count(self.letters) > 0, 60, lambda: self.manager.said("index"))
        finally:
            ask(f"{self.elastic}/_index_template/{name}", method="DELETE")
        ask(f"{self.elastic}/{self.stream}/_rollover", {}, "POST")

    # --- questions

    def count(self, stream: str) -> int:
        with contextlib.suppress(OSError):
            return int(ask(f"{self.elastic}/{stream}/_count")["count"])
        return -1

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query; AssertionError where Prometheus refuses it."""
        return list(self._api("query", query=expression)["result"])

    def _api(self, path: str, **parameters: str) -> Any:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return ask(url)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        except OSError:
            return {"result": []}

    def label_values(self, selector: str, label: str) -> list[str]:
        """As Grafana asks for `label_values(selector, label)`."""
        return list(ask(f"{self.prometheus}/api/v1/label/{label}/values?"
                        f"{urllib.parse.urlencode({'match[]': selector})}")["data"])  # fmt: skip

    def names(self) -> set[str]:
        """Of all metrics that targets tell of, with samples or without. OpenMetrics has a counter's without _total."""
        told = self._api("metadata").items()
        return {name for name, _ in told} | {f"{name}_total" for name, kinds in told if kinds[0]["type"] == "counter"}

    def rules(self) -> list[dict[str, Any]]:
        """The alerts that Prometheus has loaded, and how they fare."""
        groups = self._api("rules", type="alert").get("groups", ())
        return [rule for group in groups for rule in group["rules"]]

    def rule(self, name: str) -> dict[str, Any]:
        return next(rule for rule in self.rules() if rule["name"] == name)

    # --- end

    def close(self) -> None:
        self.manager.close()
        with contextlib.suppress(AssertionError):
            self._script("stop", str(self.folder / "rabbitmq"))
        for stream in (self.stream, self.letters):  # the last index of a data stream can't be removed, only be emptied
            with contextlib.suppress(OSError):
                ask(f"{self.elastic}/{stream}/_rollover", {}, "POST")
                for index in sorted(ask(f"{self.elastic}/{stream}/_settings"))[:-1]:
                    ask(f"{self.elastic}/{index}", method="DELETE")
        shutil.rmtree(self.folder, ignore_errors=True)
