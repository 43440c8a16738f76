import io
import logging
import re
from collections.abc import Iterator

import pytest

from towline import logs


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    stream = io.StringIO()
    yield stream
    root.handlers[:], root.level, logging.raiseExceptions = before


def break_it() -> None:
    raise ZeroDivisionError("by\nzero")


def test_an_event_is_one_line_with_its_values(out: io.StringIO) -> None:
    logs.configure("info", out)
    logging.getLogger("shipper.watch").info("container %s appeared", "web", extra={"source": "file", "why": "a b"})
    assert re.fullmatch(
        r'[\d-]{10}T[\d:]{8}\.\d{3}Z info    shipper\.watch: container web appeared source=file why="a b"\n',
        out.getvalue(),
    )


def test_hostile_names_stay_on_their_line(out: io.StringIO) -> None:
    logs.configure("info", out)
    logging.getLogger("x").warning("container %s", "a\nb\x1b[2J", extra={"name_": 'c\n"d'})
    assert out.getvalue().count("\n") == 1
    assert "a\\nb\\e[2J" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_an_exception_is_told_on_the_line_with_its_place(out: io.StringIO) -> None:
    logs.configure("info", out)
    try:
        break_it()
    except ZeroDivisionError as error:
        logging.getLogger("x").error("failed", exc_info=error)
    assert out.getvalue().count("\n") == 1
    assert 'error="ZeroDivisionError: by\\nzero" at=test_logs.py:' in out.getvalue()


def test_debug_shows_the_whole_traceback(out: io.StringIO) -> None:
    logs.configure("debug", out)
    try:
        break_it()
    except ZeroDivisionError:
        logging.getLogger("x").exception("failed")
    assert "Traceback (most recent call last)" in out.getvalue()


def test_the_level_decides_and_libraries_are_quiet(out: io.StringIO) -> None:
    logs.configure("warning", out)
    logging.getLogger("x").info("no")
    logs.configure("debug", out)
    logging.getLogger("urllib3.connectionpool").debug("no")
    assert out.getvalue() == ""
