import random
from typing import Any

import orjson
import pytest
import zstandard

from towline import batch as batch_module
from towline.batch import Batch, Origin, Section, decode
from towline.errors import BatchError

WEB = {"container": {"id": "c1", "name": "web-1"}, "host": {"name": "n1"}, "service": {"name": "web"}}
FIRST, LAST = "2026-11-23T00:25:00.123456789Z", "2026-11-23T00:25:01.000000000Z"


def section(lines: int = 2, **fields: Any) -> Section:
    docs = b"".join(
        b'{"create":{"_id":"%d"}}\n{"@timestamp":"%s","message":"line %d gr\xc3\xbc\xc3\x9fe"\x1e}\n'
        % (i, FIRST.encode(), i)
        for i in range(lines)
    )
    return Section(Origin({**WEB, **fields}), docs, lines, FIRST, LAST)


def frame(header: Any, docs: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else orjson.dumps(header)
    return zstandard.ZstdCompressor(write_checksum=True).compress(head + b"\n" + docs)


def header(**changes: Any) -> dict[str, Any]:
    """The header of a batch with one section of one line, `a\\nb\\n`."""
    row = {"origin": WEB, "count": 1, "bytes": 4, "first": FIRST, "last": LAST}
    return {"towline": 1, "node": "n1", "count": 1, "sections": [row], **changes}


def row(**changes: Any) -> dict[str, Any]:
    return header(sections=[{**header()["sections"][0], **changes}])


def test_a_batch_comes_back_as_it_was() -> None:
    batch = Batch([section(3), section(1, service={"name": "db"})], node="n1")
    again = decode(batch.encode())
    assert list(again.sections) == list(batch.sections)
    assert (again.node, again.count, again.size) == ("n1", 4, batch.size)
    assert again.sections[1].origin.service == "db"


def test_an_empty_batch_comes_back_empty() -> None:
    again = decode(Batch([]).encode())
    assert (list(again.sections), again.count, again.size) == ([], 0, 0)


def test_expanding_puts_the_origin_into_every_line() -> None:
    documents = section(2).expand().splitlines()
    assert orjson.loads(documents[0]) == {"create": {"_id": "0"}}
    assert orjson.loads(documents[3]) == {"@timestamp": FIRST, "message": "line 1 grüße", **WEB}


def test_equal_origins_are_equal_bytes_whatever_the_order_of_their_fields() -> None:
    turned = dict(reversed(WEB.items()))
    assert Origin(WEB).json == Origin(turned).json
    assert Origin({}).fragment == b""


def test_the_frame_built_here_is_a_batch() -> None:
    assert decode(frame(header(), b"a\nb\n")).count == 1


def test_a_frame_cut_anywhere_is_refused() -> None:
    whole = Batch([section(3)], node="n").encode()
    for size in range(len(whole)):
        with pytest.raises(BatchError):
            decode(whole[:size])


def test_a_frame_with_any_bit_flipped_is_refused_or_the_same() -> None:
    batch = Batch([section(3)], node="n")
    whole = batch.encode()
    for i in range(len(whole)):
        damaged = whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :]
        try:
            again = decode(damaged)
        except BatchError:
            continue
        assert list(again.sections) == list(batch.sections)


def test_noise_is_refused() -> None:
    dice = random.Random(3)
    for size in [0, 1, 4, 5, 100, 5000]:
        with pytest.raises(BatchError):
            decode(dice.randbytes(size))


@pytest.mark.parametrize("version", [2, 0, "1", None, [1]])
def test_a_version_that_this_program_does_not_read_is_refused_with_the_fix(version: Any) -> None:
    with pytest.raises(BatchError, match=r"reads version 1: upgrade"):
        decode(frame(header(towline=version), b"a\nb\n"))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"towline"',
        b"7",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        {"towline": 1},
        header(sections=None),
        header(sections=7),
        header(sections={}),
        header(sections=["x"]),
        header(sections=[[]]),
        header(sections=[{}]),
        header(sections=[]),
        row(bytes=5),
        row(bytes=3),
        row(bytes=-1),
        row(bytes="4"),
        row(bytes=None),
        row(bytes=4.5),
        row(bytes=2**62),
        row(count=2),
        row(count=0),
        row(count=-1),
        row(count=None),
        row(count="x"),
        row(origin=None),
        row(origin=[]),
        row(origin="x"),
        row(origin={}),
        row(origin={**WEB, "container": "c1"}),
        row(origin={**WEB, "service": None}),
        row(origin={**WEB, "host": {}}),
    ],
)
def test_a_hostile_header_is_a_batch_error_and_nothing_else(head: Any) -> None:
    with pytest.raises(BatchError):
        decode(frame(head, b"a\nb\n"))


def test_a_section_that_reaches_back_is_refused() -> None:
    one = header()["sections"][0]
    sections = [one, {**one, "bytes": -4, "count": 0}, one]
    with pytest.raises(BatchError):
        decode(frame(header(sections=sections), b"a\nb\n"))


def test_a_frame_that_claims_too_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Batch([section(50)]).encode()
    monkeypatch.setattr(batch_module, "MAX_BATCH_BYTES", 1000)
    with pytest.raises(BatchError, match="the most allowed"):
        decode(whole)


def test_a_frame_that_does_not_tell_its_size_is_refused() -> None:
    whole = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    with pytest.raises(BatchError):
        decode(whole)
