"""The command line and the ways out: what can't be is one line and exit code 2; `towline check` looks at each."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from forward_receiver import Receiver

from towline import checks_servers
from towline.cli import cli
from towline.errors import UsageError
from towline.finding import Finding, Mark
from towline.queues import open_outlet, open_queue
from towline.queues.amqp_url import parse
from towline.queues.forward_wire import Connection


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [*arguments], env={"TOWLINE_LISTEN": "127.0.0.1:0"})
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("file:///no/such/folder/x", "/no/such/folder is no folder"),
        ("stdout://x", "write stdout://"),
        ("forward://h?tga=x", "unknown option 'tga'"),
        ("carrier://h", "use amqp://, amqps://, forward://, forwards://, file://, stdout:// or memory://"),
    ],
)
def test_ship_with_a_wrong_url_is_one_line_and_exit_2(tmp_path: Path, url: str, text: str) -> None:
    code, said = run("ship", "--state", str(tmp_path), "--queue", url)
    assert code == 2
    assert text in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("url", ["stdout://", "file:///tmp/x", "forward://h"])
def test_index_takes_nothing_from_a_way_out(url: str, tmp_path: Path) -> None:
    code, said = run("index", "--queue", url, "--store", f"sqlite://{tmp_path}/store")
    assert (code, said.count("\n")) == (2, 1)
    assert "lines leave Towline there, none can be taken back; use amqp://" in said
    with pytest.raises(UsageError):
        open_queue(url, max_bytes=1)


def test_dead_letters_of_a_way_out_are_none() -> None:
    with pytest.raises(UsageError, match="leads to no broker"):
        parse("file:///tmp/x")


def test_an_outlet_may_be_a_queue() -> None:
    out = open_outlet("memory://", max_bytes=1)
    assert out.waiting() is None
    out.close()


def found(queue: str, **environ: str) -> list[Finding]:
    return [*checks_servers.findings(queue, "", environ)]


def test_check_looks_at_file_and_stdout(tmp_path: Path) -> None:
    (good,) = found(f"file://{tmp_path}/x")
    assert good == Finding(Mark.GOOD, f"lines go to {tmp_path}/x, which can be written")
    assert not (tmp_path / "x").exists()
    (bad,) = found("file:///no/such/folder/x")
    assert (bad.mark, bad.fix) == (Mark.BAD, "make it, or name another")
    assert found("stdout://") == [Finding(Mark.GOOD, "lines go to standard output")]


def test_check_asks_each_receiver(receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    demand = Connection.demand
    monkeypatch.setattr(Connection, "demand", lambda self: demand(self, within=3))  # the greeting of a busy machine
    plain, keyed = receivers(), receivers(shared_key="s3cret")
    good, bad = found(f"forward://127.0.0.1:{plain.port},127.0.0.1:{keyed.port}")
    assert good == Finding(Mark.GOOD, f"a forward receiver answers at forward://127.0.0.1:{plain.port}")
    assert (bad.mark, "TOWLINE_QUEUE_SHARED_KEY" in bad.fix) == (Mark.BAD, True)
    (good,) = found(f"forward://127.0.0.1:{keyed.port}", TOWLINE_QUEUE_SHARED_KEY="s3cret")
    assert good.mark is Mark.GOOD
    plain.close()
    (away,) = found(f"forward://127.0.0.1:{plain.port}")
    assert (away.mark, "is the receiver up" in away.fix) == (Mark.BAD, True)
