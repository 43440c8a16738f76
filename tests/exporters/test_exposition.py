"""What is sent to Prometheus: both formats, negotiation, packing. The real promtool and the official parser judge."""

import gzip
import subprocess
from collections.abc import Callable
from math import inf, nan
from shutil import which
from typing import NoReturn

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.exposition import (
    OPENMETRICS,
    TEXT,
    Family,
    accepts_gzip,
    compress,
    encoded,
    family,
    labels,
    negotiate,
    number,
    render,
)

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
NASTY = 'a"b\\c\nd\u00e9\u2028'


def families() -> list[Family]:
    return [
        family("z_total", "counter", "Last by name.", [("", 3)]),
        family("a_bytes", "gauge", 'Back\\slash, "quotes"\nand a new line.', [(labels({"name": NASTY}), 1.5)]),
        family("odd", "untyped", "Neither.", [(labels({"x": "1"}), -inf), (labels({"x": "2"}), nan)]),
        family("strange", "counter", "A counter without the suffix.", [("", 7)]),
        Family("took", "histogram", "H.", b'took_bucket{le="+Inf"} 2\ntook_sum 3\ntook_count 2\n'),
    ]


def test_text_reads_back_as_it_was() -> None:
    found = {one.name: one for one in parse_text(render(families()).decode())}
    assert list(found) == ["a_bytes", "odd", "strange", "took", "z"]
    assert found["a_bytes"].samples[0].labels == {"name": NASTY}
    assert found["a_bytes"].documentation == 'Back\\slash, "quotes"\nand a new line.'
    assert found["odd"].type == "unknown"
    assert found["z"].type == "counter"
    assert found["z"].samples[0].value == 3


def test_openmetrics_reads_back_as_it_was() -> None:
    found = {one.name: one for one in parse_openmetrics(render(families(), openmetrics=True).decode())}
    assert found["z"].type == "counter"
    assert found["z"].samples[0].name == "z_total"
    assert found["a_bytes"].samples[0].labels == {"name": NASTY}
    assert found["odd"].type == found["strange"].type == "unknown"  # OpenMetrics wants counters to end in _total
    assert found["took"].type == "histogram"


def test_openmetrics_ends_and_text_does_not() -> None:
    assert render(families(), openmetrics=True).endswith(b"\n# EOF\n")
    assert b"# EOF" not in render(families())
    assert render([], openmetrics=True) == b"# EOF\n"


def test_a_family_from_two_collectors_is_told_once() -> None:
    twice = [family("a", "gauge", "A.", [(labels({"n": str(n)}), n)]) for n in (1, 2)]
    assert render(twice) == b'# HELP a A.\n# TYPE a gauge\na{n="1"} 1\na{n="2"} 2\n'


def test_a_family_without_samples_is_left_out() -> None:
    assert render([family("a", "gauge", "A.", [])]) == b""


def test_a_body_can_be_made_when_it_is_sent() -> None:
    assert render([Family("a", "gauge", "A.", lambda: b"a 1\n")]) == b"# HELP a A.\n# TYPE a gauge\na 1\n"


def test_labels_keep_their_order_and_drop_nothing() -> None:
    assert labels({"b": "1", "a": ""}) == '{b="1",a=""}'
    assert labels({}) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (True, "1"), (2**63, "9223372036854775808"), (1.0, "1"), (0.1, "0.1"), (1e300, "1e+300"),
     (-2.5, "-2.5"), (inf, "+Inf"), (-inf, "-Inf"), (nan, "NaN")],
)  # fmt: skip
def test_numbers_are_short_and_exact(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2_42, True),
        ("", False),
        ("*/*", False),
        ("text/html,*/*;q=0.8", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("Application/OpenMetrics-Text; version=1.0.0; Q=0.9", True),
        ("application/openmetrics-text;q=nonsense", False),
        (",;,q=,", False),
    ],
)
def test_the_format_is_negotiated(accept: str, openmetrics: bool) -> None:
    assert negotiate(accept) is openmetrics


@pytest.mark.parametrize(
    ("header", "packed"),
    [("gzip", True), ("", False), ("gzip;q=0", False), ("deflate, gzip;q=0.5", True), ("*", True), ("identity", False)],
)
def test_gzip_is_negotiated(header: str, packed: bool) -> None:
    assert accepts_gzip(header) is packed


def test_an_answer_says_what_it_is() -> None:
    body, headers = encoded(families(), PROMETHEUS_2_42, "gzip")
    packed = b"".join(body)
    assert gzip.decompress(packed) == render(families(), openmetrics=True)
    assert headers.pop("Content-Length") == str(len(packed))
    assert headers == {"Content-Type": OPENMETRICS, "Content-Encoding": "gzip", "Vary": "Accept, Accept-Encoding"}
    body, headers = encoded(families(), "", "")
    assert headers == {"Content-Type": TEXT, "Vary": "Accept, Accept-Encoding"}
    assert b"".join(body) == render(families())


def test_packing_keeps_everything() -> None:
    parts = [b"x" * 100_000, b"", b"y"]
    packed = b"".join(compress(parts))
    assert gzip.decompress(packed) == b"".join(parts)
    assert len(packed) < 2000


def test_promtool_finds_nothing_to_say(missing_part: Callable[[str], NoReturn]) -> None:
    if which("promtool") is None:
        missing_part("promtool is not installed (Debian package prometheus)")
    clean = [found for found in families() if found.name != "strange"]  # it wants every counter to end in _total
    done = subprocess.run(["promtool", "check", "metrics"], input=render(clean), capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
