"""`file://`: confirmed once on disk, each line once across kills, moved files, a full disk."""

import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_batches import batch, until

from towline import metrics
from towline.errors import QueueUnavailable, UsageError
from towline.queues.file import FileSink, outlet, parse
from towline.queues.file_end import identities
from towline.queues.outgoing import Outgoing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines.ndjson"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Outgoing]]:
    made: list[Outgoing] = []

    def open_one() -> Outgoing:
        made.append(outlet(f"file://{path}", 1 << 20))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def messages(path: Path) -> list[str]:
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


def send(out: Outgoing, lines: list[str], first: int = 0, service: str = "web") -> None:
    """Offer them, and wait until they are confirmed."""
    confirmed: list[int] = []
    assert out.offer(batch(lines, first, service), lambda: confirmed.append(1))
    until(lambda: confirmed)


def test_what_is_confirmed_is_in_the_file(opened: Callable[[], Outgoing], path: Path) -> None:
    out = opened()
    send(out, ["one", "two"])
    assert messages(path) == ["one", "two"]
    send(out, ["three"], first=2)
    assert messages(path) == ["one", "two", "three"]
    assert path.stat().st_mode & 0o007 == 0, "others can't read it"


def test_a_moved_file_is_left_alone_and_made_anew(opened: Callable[[], Outgoing], path: Path) -> None:
    out = opened()
    send(out, ["one"])
    path.rename(path.with_suffix(".1"))
    send(out, ["two"], first=1)
    assert (messages(path.with_suffix(".1")), messages(path)) == (["one"], ["two"])
    path.unlink()
    send(out, ["three"], first=2)
    assert messages(path) == ["three"]
    path.write_text("")  # as copytruncate does
    send(out, ["four"], first=3)
    assert messages(path) == ["four"]


def test_lines_that_an_earlier_process_wrote_are_left_out_and_counted(
    opened: Callable[[], Outgoing], path: Path
) -> None:
    first = opened()
    send(first, ["one", "two"], service="repeated")
    first.close()
    duplicates = metrics.of(metrics.LINES_DUPLICATE, "repeated")
    before = duplicates._value.get()
    send(opened(), ["one", "two", "three"], service="repeated")
    assert messages(path) == ["one", "two", "three"]
    assert duplicates._value.get() == before + 2


def test_the_same_text_of_another_line_is_no_repeat(opened: Callable[[], Outgoing], path: Path) -> None:
    first = opened()
    send(first, ["same"])
    first.close()
    send(opened(), ["same"], first=1)
    assert messages(path) == ["same", "same"]


def test_a_torn_document_is_cut_off_and_comes_again(opened: Callable[[], Outgoing], path: Path) -> None:
    first = opened()
    send(first, ["one", "two"])
    first.close()
    path.write_bytes(path.read_bytes()[:-40])
    send(opened(), ["one", "two"])
    assert messages(path) == ["one", "two"]


def test_somebody_elses_torn_line_is_ended_not_cut(opened: Callable[[], Outgoing], path: Path) -> None:
    path.write_text("mine, do not touch")
    send(opened(), ["one"])
    head, rest = path.read_text().split("\n", 1)
    assert head == "mine, do not touch"
    assert json.loads(rest)["message"] == "one"


def test_a_full_disk_refuses_and_nothing_is_lost(opened: Callable[[], Outgoing], path: Path) -> None:
    """RLIMIT_FSIZE stands for the disk: the write that crosses it is cut short, the next fails."""
    out = opened()
    send(out, ["one"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    confirmed: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, hard))
        assert out.offer(batch(["x" * 200] * 20, first=1), lambda: confirmed.append(1))
        until(lambda: not out.offer(batch(["refused"], first=99), lambda: None))
        with pytest.raises(QueueUnavailable, match="file too large"):
            out.check()
        whole = path.read_bytes().splitlines(keepends=True)[0]
        until(lambda: path.read_bytes() == whole, "nothing half-written stays")  # it is tried again and again
        assert messages(path) == ["one"]
        assert not confirmed
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    until(lambda: confirmed)
    assert messages(path)[:21] == ["one", *["x" * 200] * 20]


def test_two_processes_on_one_file_are_refused(opened: Callable[[], Outgoing]) -> None:
    send(opened(), ["one"])
    with pytest.raises(QueueUnavailable, match="another process writes there"):
        opened().check()


def test_identities_are_read_from_the_end_only(path: Path) -> None:
    sink = FileSink(path)
    sink.put([batch([f"line {number}" for number in range(100)])])
    sink.close()
    assert len(identities(path)) == 100
    assert 0 < len(identities(path, tail=2000)) < 20


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("file://relative/x", "write file:///absolute/path"),
        ("file:///", "write file:///absolute/path"),
        ("file://", "write file:///absolute/path"),
        ("file:///tmp/x?sync=no", "write file:///absolute/path"),
        ("file:///no/such/folder/x", "/no/such/folder is no folder"),
        ("file:///dev/null", "no regular file"),
        ("file:///tmp", "no regular file"),
    ],
)
def test_a_url_that_names_no_file_is_told(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse(url)


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    assert parse(f"file://{tmp_path}/a%20b%3Fc%23.ndjson") == tmp_path / "a b?c#.ndjson"
