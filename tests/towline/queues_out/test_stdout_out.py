"""`stdout://`: confirmed once written, however slow the reader; the end of the reader is the end."""

import json
import os
import threading
from collections.abc import Iterator

import pytest
from made_batches import batch, until

from towline.errors import QueueUnavailable, UsageError
from towline.queues.outgoing import Outgoing
from towline.queues.stdout import StdoutSink, parse


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The reader's end and the writer's; those that a test closes it takes out."""
    ends = list(os.pipe())
    yield ends
    for each in ends:
        os.close(each)


def read_lines(descriptor: int, number: int) -> list[str]:
    data = b""
    while data.count(b"\n") < number:
        data += os.read(descriptor, 1 << 16)
    return [json.loads(line)["message"] for line in data.splitlines()]


def test_documents_come_out_in_order_and_are_confirmed(pipe: list[int]) -> None:
    out = Outgoing(StdoutSink(pipe[1]), 1 << 20)
    confirmed: list[int] = []
    for number in range(3):
        assert out.offer(batch([f"line {number}"], first=number), lambda n=number: confirmed.append(n))  # type: ignore[misc]
    assert read_lines(pipe[0], 3) == ["line 0", "line 1", "line 2"]
    until(lambda: confirmed == [0, 1, 2])
    out.check()
    out.close()


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_is_waited_for_and_gets_all(pipe: list[int], blocking: bool) -> None:
    os.set_blocking(pipe[1], blocking)
    out = Outgoing(StdoutSink(pipe[1]), 100_000)
    lines = ["x" * 1000] * 200
    confirmed: list[int] = []
    assert out.offer(batch(lines), lambda: confirmed.append(1))
    assert not out.offer(batch(lines), lambda: None), "the bound is reached while nobody reads"
    assert not confirmed, "a pipe holds 64 KiB, not all of it"
    assert read_lines(pipe[0], 200) == lines
    until(lambda: confirmed)
    out.close()


def test_the_end_of_the_reader_is_told_once(pipe: list[int]) -> None:
    gone: list[int] = []
    out = Outgoing(StdoutSink(pipe[1], lambda: gone.append(1)), 1 << 20)
    os.close(pipe.pop(0))
    assert out.offer(batch(["one"]), lambda: pytest.fail("nobody has read it"))
    until(lambda: not out.offer(batch(["two"]), lambda: None))
    with pytest.raises(QueueUnavailable, match="whoever read it is gone"):
        out.check()
    out.close()
    assert gone == [1]


def test_close_does_not_wait_for_a_reader_that_hangs(pipe: list[int]) -> None:
    out = Outgoing(StdoutSink(pipe[1]), 1 << 20)
    assert out.offer(batch(["x" * 1000] * 200), lambda: None)
    closing = threading.Thread(target=out.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    while os.read(pipe[0], 1 << 20)[-2:] != b"}\n":  # lets its thread go
        pass


def test_a_url_that_says_more_is_told() -> None:
    for url in ("stdout://", "stdout:///"):
        parse(url)
    with pytest.raises(UsageError, match="write stdout://"):
        parse("stdout://file")
