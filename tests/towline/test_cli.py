import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from towline import __version__
from towline.cli import cli
from towline.stores import Store

Write = Callable[..., None]
ROOT = Path(__file__).parent.parent.parent
RUN = "from towline.cli import main; main()"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("TOWLINE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TOWLINE_DATA", str(tmp_path / "data"))
    time.tzset()


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=variables, prog_name="towline")


def process(*arguments: str, **settings: object) -> "subprocess.Popen[str]":
    # A shell that starts the tests in the background has them ignore SIGINT, and their children with them.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.Popen(
        [sys.executable, "-c", heed + RUN, *arguments], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)  # type: ignore[call-overload,no-any-return]  # fmt: skip


def messages(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.partition(" | ")[2] for line in result.stdout.splitlines()]


def failed(result: Result, code: int) -> str:
    """The one line that a failed command printed, and nothing else."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"towline: [^\n]+\n", result.stderr), result.stderr
    return result.stderr


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"towline {__version__}\n"


@pytest.mark.parametrize("name", ["up", "search", "tail", "check", "config", "setup", "dead-letters list"])
def test_help_teaches_by_examples(name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    assert f"\n  towline {name}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["up", "--listen", "8514"], "'8514' is not HOST:PORT"),
        (["up", "--listen", "localhost:99999"], "99999"),
        (["up", "--keep-size", "many"], "'many' is not a size"),
        (["up", "--keep-age", "old"], "'old' is not an age"),
        (["up", "--source", "guess"], "'guess'"),
        (["up", "--listen", "0.0.0.0:0"], "TOWLINE_TOKEN"),
        (["nonsense"], "nonsense"),
        (["search", "--nonsense"], "--nonsense"),
        (["search", "--limit", "-1"], "-1"),
        (["search", "--since", "whenever"], "whenever"),
        (["search", "--since", "1m", "--until", "1h"], "since"),
        (["search", '"open'], "open"),
        (["search", "--store", "ftp://x"], "'ftp'"),
        (["search", "--store", "sqlite://host/x"], "sqlite://host/x"),
        (["search", "-C", "2", "--json"], "--context"),
        (["tail", "--since", "whenever"], "whenever"),
        (["ship"], "--queue"),
        (["ship", "--queue", "memory://"], "towline up"),
        (["index", "--queue", "kafka://h"], "kafka://h"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it_and_exit_code_2(arguments: list[str], named: str) -> None:
    assert named in failed(run(*arguments), 2)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = failed(run("up", "--data", str(tmp_path / "file/data")), 2)
    assert str(tmp_path / "file/data") in line
    assert "--data DIR" in line


def test_a_port_in_use_is_named_with_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = failed(run("up", "--listen", address, "--data", str(tmp_path / "data")), 1)
    assert address in line
    assert "--listen" in line


def test_a_mistake_of_ours_is_one_line_and_the_place_comes_with_debug(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise ZeroDivisionError("oops\nno")

    monkeypatch.setattr("towline.stores.open_store", broken)
    line = failed(run("search"), 1)
    assert "ZeroDivisionError: oops no" in line
    assert "TOWLINE_LOG_LEVEL=debug" in line
    with caplog.at_level("ERROR"):
        assert "for details" not in run("search", TOWLINE_LOG_LEVEL="debug").stderr
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_a_setting_that_is_not_clear_is_told_in_one_line() -> None:
    assert "TOWLINE_TOKEN_FILE" in failed(run("config", TOWLINE_TOKEN="a", TOWLINE_TOKEN_FILE="b"), 2)


def test_config_shows_values_but_no_secrets() -> None:
    result = run("config", TOWLINE_TOKEN="geheim", TOWLINE_QUEUE="amqp://me:geheim@mq", TOWLINE_LISTEN=":1")
    assert "geheim" not in result.output
    assert "TOWLINE_LISTEN, --listen (default 127.0.0.1:8514) = :1" in result.stdout
    assert "amqp://me:***@mq" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str) -> None:
    assert "_TOWLINE_COMPLETE" in run("completion", shell).stdout


def test_completion_completes() -> None:
    words = {"_TOWLINE_COMPLETE": "bash_complete", "COMP_WORDS": "towline se", "COMP_CWORD": "1"}
    done = process(env={**os.environ, **words})
    assert sorted(done.communicate(timeout=60)[0].split()) == ["plain,search", "plain,setup"]


def test_setup_makes_a_store_and_again_changes_nothing(data: Path) -> None:
    for _ in range(2):
        result = run("setup", "--data", str(data))
        assert result.exit_code == 0, result.output
        assert f"sqlite://{data}/store" in result.stdout
    assert messages(run("search", "--data", str(data))) == []


def test_search_shows_the_newest_oldest_first(write: Write) -> None:
    write([f"line {number}" for number in range(150)])
    assert messages(run("search")) == [f"line {number}" for number in range(50, 150)]
    assert messages(run("search", "--limit", "2")) == ["line 148", "line 149"]
    assert messages(run("search", "--limit", "2", "--order", "desc")) == ["line 149", "line 148"]
    assert messages(run("search", "--limit", "2", "--order", "asc")) == ["line 0", "line 1"]
    assert len(messages(run("search", "--limit", "0"))) == 150


def test_search_words_are_joined_and_filters_narrow(write: Write) -> None:
    write(["red green", "red", "green"], name="web")
    write(["red green too"], name="db", stream="stdout", minute=1)
    assert messages(run("search", "red", "green")) == ["red green", "red green too"]
    assert messages(run("search", "red green", "-s", "db")) == ["red green too"]
    assert messages(run("search", "-c", "w*", "red -green too")) == []
    assert messages(run("search", "--", "red", "-green")) == ["red"]
    assert messages(run("search", "--since", "2026-11-23T10:00:30Z")) == ["red green too"]
    assert messages(run("search", "--stream", "stderr")) == []


def test_search_in_json_gives_whole_documents(write: Write) -> None:
    write(["grüße \x1b[31m"])
    (line,) = run("search", "--json", "--limit", "0").stdout.splitlines()
    document = json.loads(line)
    assert document["message"] == "grüße \x1b[31m"
    assert document["container"]["name"] == document["service"]["name"] == "web"
    assert document["@timestamp"] == "2026-11-23T10:00:00.000000000Z"
    assert document["event"]["sequence"] == 0


def test_hostile_lines_are_shown_harmless_unless_raw_is_asked(write: Write) -> None:
    write(["\x1b]0;owned\x07 \u202e\r\n\x00 end"])
    assert messages(run("search")) == ["\\e]0;owned\\x07 \\u202e\\r\\n\\0 end"]
    assert "\x1b]0;owned\x07" in run("search", "--raw").stdout


def test_context_shows_the_lines_around_once_with_a_mark_between(write: Write) -> None:
    write(["a", "b", "hit 1", "c", "hit 2", "d", "e", "f", "g", "hit 3"], name="web")
    write(["x", "y"], name="db")
    result = run("search", "hit", "-C", "1")
    assert [line.partition(" | ")[2] or line for line in result.stdout.splitlines()] == [
        "b", "hit 1", "c", "hit 2", "d", "--", "g", "hit 3"]  # fmt: skip


def test_another_store_can_be_named(write: Write, data: Path, tmp_path: Path) -> None:
    write(["here"])
    elsewhere = str(tmp_path / "nothing")
    assert messages(run("search", "--data", elsewhere, "--store", f"sqlite://{data}/store")) == ["here"]
    assert elsewhere in failed(run("search", "--data", elsewhere), 2)


def test_dead_letters_of_a_clean_store_are_none(store: Store) -> None:
    result = run("dead-letters", "list")
    assert (result.exit_code, result.output) == (0, "")


def test_output_that_nobody_reads_any_more_ends_quietly(write: Write) -> None:
    for part in range(20):
        write([f"{number} {'x' * 100}" for number in range(1000)], minute=part)
    done = process("search", "--limit", "0")
    assert done.stdout is not None
    assert done.stderr is not None
    assert done.stdout.readline()
    done.stdout.close()
    assert done.stderr.read() == ""
    assert done.wait(60) == 0
    done.stderr.close()


class Tail:
    """A `towline tail` that runs."""

    def __init__(self, *arguments: str) -> None:
        self.process = process("tail", *arguments)

    def lines(self, count: int) -> list[str]:
        assert self.process.stdout
        return [self.process.stdout.readline().rstrip("\n").partition(" | ")[2] for _ in range(count)]

    def said(self) -> str:
        assert self.process.stderr
        return self.process.stderr.readline()

    def interrupt(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def tailing() -> Iterator[Callable[..., Tail]]:
    started: list[Tail] = []

    def start(*arguments: str) -> Tail:
        started.append(Tail(*arguments))
        return started[-1]

    yield start
    for tail in started:
        if tail.process.poll() is None:
            tail.process.kill()
        tail.process.communicate()


def test_tail_shows_lines_since_then_what_arrives_each_once(write: Write, tailing: Callable[..., Tail]) -> None:
    write(["old"])
    tail = tailing("--since", "2026-11-23T00:00:00Z")
    assert tail.lines(1) == ["old"]
    write(["new \x1b[2J", "newer"], first=1)
    assert tail.lines(2) == ["new \\e[2J", "newer"]
    assert tail.interrupt() == ""
    assert tail.process.returncode == 130


def test_tail_shows_only_the_services_asked_for(write: Write, tailing: Callable[..., Tail]) -> None:
    tail = tailing("web", "d*", "--since", "2026-11-23T00:00:00Z")
    write(["1"], name="web")
    write(["2"], name="other")
    write(["3"], name="db")
    assert sorted(tail.lines(2)) == ["1", "3"]


def test_tail_waits_for_a_store_that_comes_later(tailing: Callable[..., Tail], request: pytest.FixtureRequest) -> None:
    tail = tailing("--since", "2026-11-23T00:00:00Z")
    assert tail.said().startswith("towline: waiting")
    request.getfixturevalue("write")(["at last"])
    assert tail.lines(1) == ["at last"]


def test_tail_of_which_the_reader_goes_away_ends_quietly(write: Write, tailing: Callable[..., Tail]) -> None:
    tail = tailing("--since", "2026-11-23T00:00:00Z")
    write(["first"])
    assert tail.lines(1) == ["first"]
    assert tail.process.stdout is not None
    assert tail.process.stderr is not None
    tail.process.stdout.close()
    deadline = time.monotonic() + 60
    number = 1
    while tail.process.poll() is None:
        assert time.monotonic() < deadline
        write(["more"], first=number)
        number += 1
    assert tail.process.stderr.read() == ""
    assert tail.process.returncode == 0
    tail.process.stdout = None
