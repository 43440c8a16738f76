import io
from datetime import UTC, timedelta, timezone

import pytest

from towline.terminal import Painter, escape, hue, local_time, name_of, wants_colour


def document(message: str, **more: object) -> dict[str, object]:
    return {
        "@timestamp": "2026-11-23T00:25:00.123456789Z", "message": message, "stream": "stdout",
        "container": {"name": "shop-web-1"}, "service": {"name": "web"}, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", "\\e[2J"),
        ("\x1b]0;title\x07", "\\e]0;title\\x07"),
        ("done\rfake", "done\\rfake"),
        ("a\nb", "a\\nb"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x7f", "\\0\\x7f"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200bb\u2028c", "a\\u200bb\\u2028c"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_steers_a_terminal_is_written_out(hostile: str, shown: str) -> None:
    assert escape(hostile) == shown


def test_no_control_character_survives() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = [c for c in escape(everything) if c != "\t" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0)]
    assert left == []


@pytest.mark.parametrize("text", ["", "plain", "a\tb", "Grüße, 世界 🚢", "C:\\temp", '{"a": 1}'])
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


def test_a_line_shows_time_service_container_and_text_without_colours() -> None:
    line = Painter(colour=False, zone=UTC).line(document("\x1b[31mred"))
    assert line == "2026-11-23 00:25:00.123 web/shop-web-1 | \\e[31mred"


def test_raw_lets_the_message_through_but_not_the_name() -> None:
    hostile = document("\x1b[31mred", container={"name": "\x1b[2J"}, service={"name": "\x1b[2J"})
    assert Painter(colour=False, raw=True, zone=UTC).line(hostile) == "2026-11-23 00:25:00.123 \\e[2J | \x1b[31mred"


def test_stderr_has_another_bar() -> None:
    assert " ! oops" in Painter(colour=False).line(document("oops", stream="stderr"))


def test_a_dimmed_line_resets_its_colour_only_at_its_end() -> None:
    line = Painter(colour=True, zone=UTC).line(document("x"), dim=True)
    assert line.count("\x1b[") == 2
    assert line.endswith("\x1b[0m")


def test_a_container_called_like_its_service_is_named_once() -> None:
    assert name_of(document("", service={"name": "shop-web-1"})) == "shop-web-1"


def test_a_name_has_the_same_colour_always_and_names_differ() -> None:
    assert hue("web") == hue("web")
    assert len({hue(f"container-{n}") for n in range(50)}) > 5


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        ("2026-11-23T00:25:00.123456789Z", "2026-11-23 02:25:00.123"),
        ("2026-11-23T23:59:59.999999999Z", "2026-11-24 01:59:59.999"),
        ("nonsense\x1b", "nonsense\\e"),
        ("", ""),
    ],
)
def test_stamps_become_local_time(stamp: str, shown: str) -> None:
    assert local_time(stamp, timezone(timedelta(hours=2))) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_only_for_terminals_that_want_them(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert wants_colour(stream, environ) is wanted
