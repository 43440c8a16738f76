"""Which sections go to Elasticsearch as they are, without a look at each line."""

import pytest

from towline.batch import Batch as Sent
from towline.batch import Origin, Section, decode
from towline.stores.es_bulk import well_formed
from towline.stores.es_client import BulkAwareSerializer

ORIGIN = Origin({"container": {"id": "c1", "name": "web"}, "host": {"name": "n"}, "service": {"name": "web"}})
STAMP = b"2026-11-23T00:25:00.12345678%dZ"


def pair(number: int) -> bytes:
    stamp = STAMP % number
    return (b'{"create":{"_id":"%b-q8Zk3xVwo"}}\n{"@timestamp":"%b","message":"line \\"%d\\" \\u003c",'
            b'"stream":"stdout","event":{"sequence":%d}\x1e}\n' % (stamp, stamp, number, number))  # fmt: skip


GOOD = b"".join(map(pair, range(3)))


def section(docs: bytes, count: int = 3) -> Section:
    stamp = (STAMP % 0).decode()
    return Section(ORIGIN, docs, count, stamp, stamp)


def test_what_a_shipper_sends_is_well_formed() -> None:
    assert well_formed(section(GOOD))
    assert all(map(well_formed, decode(Sent([section(GOOD), section(pair(1), 1)]).encode()).sections))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"create":', b'{"index":'),
        (b'xVwo"}}', b'xVwo","_index":"other"}}'),
        (b"2026-11-23T00:25:00.123456781Z-q8Zk3xVwo", b""),
        (b"q8Zk3xVwo", b"q" * 600),
        (b'"@timestamp":', b'"when":'),
        (b'1Z","message"', b'1","message"'),
        (b'"message":"line \\"1\\" \\u003c"', b'"message":17'),
        (b'"message":"line', b'"text":"line'),
        (b"line", b"\\ud800"),
        (b"line", b"\\uDC00"),
        (b"line", b"\x1e"),
        (b"\x1e}", b"}"),
        (b"\x1e}", b"} \x1e"),
        (b"line", b"li\nne"),
    ],
)
def test_one_line_of_another_shape_is_noticed(old: bytes, new: bytes) -> None:
    middle = pair(1)
    assert old in middle
    assert not well_formed(section(pair(0) + middle.replace(old, new, 1) + pair(2)))


@pytest.mark.parametrize("docs", [GOOD[:-1], GOOD[1:], b"\n" + GOOD, GOOD + b"\n", GOOD + pair(4), pair(0) + pair(1)])
def test_a_section_with_more_or_less_than_its_lines_is_noticed(docs: bytes) -> None:
    assert not well_formed(section(docs))


ITEM = b'{"create":{"_index":".ds-logs-1","status":201}}'


@pytest.mark.parametrize("number", [1, 2, 9000])
def test_an_answer_that_says_the_same_of_each_line_is_told_by_its_index(number: int) -> None:
    answer = b'{"errors":false,"items":[' + b",".join([ITEM] * number) + b"]}"
    assert BulkAwareSerializer().loads(answer) == {"errors": False, "index": ".ds-logs-1"}


@pytest.mark.parametrize(
    ("old", "new"), [(b"logs-1", b"logs-2"), (b"logs-1", b"logs-10"), (b",", b", "), (b"]", b" ]")]
)
def test_an_answer_that_does_not_is_not_told_to_have_one_index(old: bytes, new: bytes) -> None:
    before, last = b'{"errors":false,"items":[' + ITEM + b",", ITEM + b"]}"
    assert BulkAwareSerializer().loads(before + last.replace(old, new)) == {"errors": False}


def test_what_went_aside_is_told_line_by_line() -> None:
    aside = ITEM.replace(b"201", b'201,"failure_store":"used"')
    answer = BulkAwareSerializer().loads(b'{"errors":false,"items":[' + ITEM + b"," + aside + b"]}")
    assert [row["create"].get("failure_store") for row in answer["items"]] == [None, "used"]
