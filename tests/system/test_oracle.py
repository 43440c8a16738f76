"""The judge itself is judged: each fault, put in by hand, must be found."""

import subprocess
from typing import Any

from oracle import GENERATOR, Written, judge, line

RUN, NAME, ID = "r1", "web", "c" * 64


def documents(count: int, stream: str = "stdout") -> list[dict[str, Any]]:
    return [document(seq, line(RUN, NAME, stream, seq), stream) for seq in range(1, count + 1)]


def document(sequence: int, message: str, stream: str = "stdout", **event: Any) -> dict[str, Any]:
    return {
        "message": message, "stream": stream, "event": {"sequence": sequence, **event},
        "container": {"id": ID, "name": NAME}}  # fmt: skip


def account(count: int, stream: str = "stdout") -> list[Written]:
    return [Written(RUN, NAME, stream, count, ID)]


def test_a_whole_result_has_no_fault() -> None:
    assert judge(documents(100), account(100)).faults == {}


def test_the_order_in_which_documents_are_listed_does_not_matter() -> None:
    assert judge(documents(100)[::-1], account(100)).faults == {}


def test_a_missing_line_in_the_middle_is_lost() -> None:
    rows = documents(100)
    del rows[41:44]
    assert judge(rows, account(100)).faults == {"lost": ["web stdout lines 42-44"]}


def test_missing_first_and_last_lines_are_lost() -> None:
    assert judge(documents(100)[5:-5], account(100)).lost == ["web stdout lines 1-5", "web stdout lines 96-100"]


def test_nothing_at_all_is_lost() -> None:
    assert judge([], account(100)).lost == ["web stdout lines 1-100"]


def test_a_recorded_gap_explains_what_is_missing_there() -> None:
    rows = documents(100)
    rows[41:44] = [document(43, "lines are missing here: rotated", action="gap")]
    report = judge(rows, account(100))
    assert report.faults == {}
    assert report.gaps == ["web stdout lines 42-44"]


def test_a_gap_elsewhere_explains_nothing() -> None:
    rows = documents(100)
    rows[79:82] = [document(81, "lines are missing here: rotated", action="gap")]
    rows[41:44] = []
    report = judge(rows, account(100))
    assert report.lost == ["web stdout lines 42-44"]
    assert report.gaps == ["web stdout lines 80-82"]


def test_a_line_stored_twice_is_a_duplicate() -> None:
    rows = [*documents(100), document(101, line(RUN, NAME, "stdout", 100))]
    assert judge(rows, account(100)).faults == {"duplicate": ["web stdout line 100"]}


def test_two_documents_at_one_place_are_disorder() -> None:
    rows = documents(100)
    rows[50]["event"]["sequence"] = 50
    assert "disorder" in judge(rows, account(100)).faults


def test_lines_out_of_order_are_found() -> None:
    rows = documents(100)
    rows[10]["event"]["sequence"], rows[11]["event"]["sequence"] = 12, 11
    assert judge(rows, account(100)).faults == {"disorder": ["web stdout line 11 after 12"]}


def test_a_changed_byte_is_corrupt() -> None:
    rows = documents(100)
    rows[10]["message"] = rows[10]["message"][:-1] + "?"
    assert list(judge(rows, account(100)).faults) == ["corrupt"]


def test_a_line_under_the_wrong_stream_or_container_is_corrupt() -> None:
    rows = documents(100)
    rows[10]["stream"] = "stderr"
    rows[20]["container"] = {"id": "d" * 64, "name": "other"}
    assert len(judge(rows, account(100)).corrupt) == 2


def test_what_nobody_wrote_is_spurious() -> None:
    rows = [*documents(100), document(101, "hello"), document(102, line(RUN, NAME, "stdout", 101))]
    assert len(judge(rows, account(100)).spurious) == 2


def test_the_generator_in_awk_and_the_judge_agree() -> None:
    environment = {
        "RUN": RUN, "NAME": NAME, "COUNT": "500", "BURST": "0", "PAUSE": "0", "STREAMS": "stdout stderr",
        "PATH": "/usr/bin:/bin"}  # fmt: skip
    script = GENERATOR.replace("/starts", "/nonexistent/starts")
    done = subprocess.run(["busybox", "sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    rows = [document(i, text) for i, text in enumerate(done.stdout.splitlines(), 1)]
    assert judge(rows, account(500)).faults == {}
    assert done.stderr.splitlines()[-1] == line(RUN, NAME, "stderr", 500)
