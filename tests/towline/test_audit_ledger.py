"""The ledger of several processes added up: when it closes, and when it must not."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from towline.audit_ledger import Account, accounts, added_up
from towline.cli import cli
from towline.errors import TowlineError

SHIPPER = """# TYPE towline_lines_read counter
towline_lines_read_total{service="web"} 100.0
towline_lines_in_flight{service="web"} 3.0
towline_lines_dropped_total{service="web",reason="a"} 1.0
towline_lines_dropped_total{service="web",reason="b"} 2.0
"""
INDEXER = """# TYPE towline_lines_read counter
towline_lines_indexed_total{service="web"} 92.0
towline_lines_dead_lettered_total{service="web"} 2.0
"""
Serve = Callable[[str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """The address of a /metrics that says this."""
    servers = []

    def start(text: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/metrics"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("account", "left"),
    [
        (Account(read=10, indexed=10), 0),
        (Account(read=10, indexed=9), 1),
        (Account(read=10, indexed=5, dead_lettered=2, dropped=2, in_flight=1), 0),
        (Account(read=10, indexed=13, duplicate=3), 0),  # handed out again by the queue
        (Account(read=10, indexed=10, duplicate=3), 0),  # read again by the shipper
        (Account(read=10, indexed=13), -3),  # from nowhere
        (Account(read=10, indexed=13, duplicate=2), -1),
        (Account(read=10, indexed=9, duplicate=3), 1),
    ],
)
def test_what_is_left_open(account: Account, left: int) -> None:
    assert account.open == left


def test_the_halves_of_a_pipeline_are_one_sum(serve: Serve) -> None:
    assert accounts(SHIPPER)["web"].open == 94
    (account,) = added_up([serve(SHIPPER), serve(INDEXER)]).values()
    assert account == Account(read=100, indexed=92, dead_lettered=2, dropped=3, in_flight=3)
    assert account.open == 0


def test_lines_that_came_by_listeners_are_told_once_for_all_services(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towline.cli_audit._findings", lambda *_: iter(()))  # no engine: what matters is the ledger
    CliRunner().invoke(cli, ["setup", "--data", str(tmp_path)])
    listened = '# TYPE towline_lines_listened counter\ntowline_lines_listened_total{service="%s"} 7.0\n'
    code, said = audit(tmp_path, "--metrics", serve(SHIPPER + listened % "web"), "--metrics", serve(INDEXER))
    assert (code, "- 7 of the lines read came by listeners" in said) == (0, True)
    assert "listeners" not in audit(tmp_path, "--metrics", serve(SHIPPER), "--metrics", serve(INDEXER))[1]


def test_counters_of_another_program_are_no_ledger(serve: Serve) -> None:
    with pytest.raises(TowlineError, match="no counters of Towline"):
        added_up([serve(SHIPPER), serve("# TYPE go_goroutines gauge\ngo_goroutines 7\n")])


def audit(tmp_path: Path, *options: str) -> tuple[int, str]:
    engine = ["--engine", f"unix://{tmp_path}/nobody.sock"]
    done = CliRunner().invoke(cli, ["audit", "--data", str(tmp_path), *engine, *options])
    return done.exit_code, done.output


def test_a_ledger_that_can_not_be_added_up_is_said_and_no_success(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towline.cli_audit._findings", lambda *_: iter(()))  # no engine: what matters is the ledger
    CliRunner().invoke(cli, ["setup", "--data", str(tmp_path)])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{probe.getsockname()[1]}/metrics"
    both = ("--metrics", serve(SHIPPER), "--metrics")
    assert audit(tmp_path, *both, serve(INDEXER))[0] == 0
    code, said = audit(tmp_path, *both, silent)
    assert code == 1
    assert f"✗ ledger: not added up: no ledger at {silent}" in said
    assert "--no-ledger" in said
    assert audit(tmp_path, *both, silent, "--no-ledger")[0] == 0
