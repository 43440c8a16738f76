"""The note of the queue's life: there before checkpoints rely on it, and not renewed before a loss is dealt with."""

from pathlib import Path

import pytest

from shipper.queue_life import QueueLife
from towline.queues.memory import MemoryQueue


class Remembering(MemoryQueue):
    """A queue that can be lost."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.resumed: list[str] = []

    def resume(self, life: str) -> None:
        self.resumed.append(life)


ONE, TWO = "1" * 16, "2" * 16


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "queue"


def test_the_life_that_was_noted_is_resumed(note: Path) -> None:
    queue = Remembering()
    life = QueueLife(note, queue)
    life.keep(lambda: True)
    assert not note.exists()  # nothing is known yet
    queue.life = ONE
    life.keep(lambda: True)
    again = Remembering()
    QueueLife(note, again)
    assert (queue.resumed, again.resumed) == ([""], [ONE])


def test_a_new_life_is_noted_only_after_the_loss_is_dealt_with(note: Path) -> None:
    queue = Remembering()
    life = QueueLife(note, queue)
    queue.life = ONE
    life.keep(lambda: True)
    queue.life = TWO
    life.keep(lambda: False)
    assert note.read_text() == ONE
    life.keep(lambda: True)
    assert note.read_text() == TWO


@pytest.mark.parametrize("content", [b"", b"#", b"\xff\x00", b"1" * 17, b"../../etc/passwd"])
def test_a_note_that_is_garbage_is_no_life(note: Path, content: bytes) -> None:
    note.write_bytes(content)
    queue = Remembering()
    QueueLife(note, queue)
    assert queue.resumed == [""]


def test_a_note_that_cannot_be_written_is_tried_again(note: Path) -> None:
    queue = Remembering()
    life = QueueLife(note / "deeper", queue)
    queue.life = ONE
    life.keep(lambda: True)
    note.mkdir()
    life.keep(lambda: True)
    assert (note / "deeper").read_text() == ONE
