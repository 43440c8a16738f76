"""`towline check` about secrets, broker and store, on real servers and on ports where nobody is."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from towline import checks_servers
from towline.cli import cli
from towline.finding import Finding, Mark


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else can get meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def found(queue: str = "", store: str = "", **environ: str) -> list[Finding]:
    return [*checks_servers.findings(queue, store, environ)]


def test_where_nothing_is_configured_nothing_is_asked() -> None:
    assert found() == []
    assert found(store="sqlite:///var/lib/towline/store") == []


@pytest.mark.parametrize("name", ["TOWLINE_STORE_PASSWORD", "TOWLINE_QUEUE", "TOWLINE_TOKEN"])
def test_a_missing_secret_is_named_with_its_fix(tmp_path: Path, name: str) -> None:
    (finding,) = found(**{f"{name}_FILE": f"{tmp_path}/gone"})
    assert finding.mark is Mark.BAD
    assert finding.text == f"{name}_FILE={tmp_path}/gone: No such file or directory"
    assert finding.fix == "name a readable file that holds the value"


def test_a_missing_password_file_of_the_queue_is_named_with_its_fix(tmp_path: Path) -> None:
    (finding,) = found(queue=f"amqp://shipper@localhost/?password-file={tmp_path}/gone")
    assert finding.mark is Mark.BAD
    assert f"password-file={tmp_path}/gone" in finding.text
    assert finding.fix == "name a readable file that holds the password"


def test_a_broker_that_is_away_is_bad_at_each_address(closed_port: int) -> None:
    findings = found(queue=f"amqp://someone:hush@127.0.0.1:{closed_port},localhost:{closed_port}/")
    assert [finding.mark for finding in findings] == [Mark.BAD, Mark.BAD]
    assert findings[0].text == f"queue amqp://someone@127.0.0.1:{closed_port}/: Connection refused"
    assert "is the broker up" in findings[0].fix
    assert "hush" not in str(findings)


def test_a_store_that_is_away_is_bad_without_its_password(closed_port: int) -> None:
    (finding,) = found(store=f"http://someone:hush@127.0.0.1:{closed_port}")
    assert finding.mark is Mark.BAD
    assert f"127.0.0.1:{closed_port}" in finding.text
    assert finding.fix == "is it running?"
    assert "hush" not in str(finding)


def test_a_broker_that_answers_is_good(missing_part: Callable[[str], NoReturn]) -> None:
    if not (url := os.environ.get("TOWLINE_TEST_AMQP")):
        missing_part("no RabbitMQ: scripts/test.sh starts one")
    (finding,) = found(queue=url)
    assert finding.mark is Mark.GOOD
    (refused,) = found(queue=url.replace("guest:guest", "guest:wrong"))
    assert (refused.mark, "password-file" in refused.fix) == (Mark.BAD, True)


def test_a_store_that_answers_is_good(missing_part: Callable[[str], NoReturn]) -> None:
    if not (url := os.environ.get("TOWLINE_TEST_ELASTICSEARCH")):
        missing_part("no Elasticsearch: scripts/test.sh starts one")
    (finding,) = found(store=url)
    assert finding == Finding(Mark.GOOD, f"the store answers at {url}")


def test_the_command_reads_them_from_the_environment(tmp_path: Path, closed_port: int) -> None:
    environ = {"TOWLINE_QUEUE": f"amqp://127.0.0.1:{closed_port}/", "TOWLINE_STORE_PASSWORD_FILE": f"{tmp_path}/gone",
               "TOWLINE_ENGINE": f"unix://{tmp_path}/docker.sock", "TOWLINE_DATA": str(tmp_path)}  # fmt: skip
    result = CliRunner().invoke(cli, ["check"], env=environ)
    assert result.exit_code == 1
    assert f"✗ queue amqp://guest@127.0.0.1:{closed_port}/: Connection refused" in result.output
    assert "✗ TOWLINE_STORE_PASSWORD_FILE" in result.output
